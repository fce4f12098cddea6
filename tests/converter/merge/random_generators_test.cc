// SPDX-License-Identifier: Apache-2.0
// The numbers of PyTorch 2.15 and NumPy 2.4, written down, and ours.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "converter/merge/random/numpy_generator.h"
#include "converter/merge/random/torch_generator.h"

namespace graft::converter {
namespace {

TEST_SUITE("converter/random_generators") {
  TEST_CASE("draws as MT19937 does") {
    TorchGenerator generator(0);
    for (const uint32_t wanted : {2357136044u, 2546248239u, 3071714933u}) {
      CHECK(generator.Next() == wanted);
    }
    // The lower half of a seed counts.
    CHECK(TorchGenerator(7).Next() == TorchGenerator((uint64_t{1} << 40) + 7).Next());
  }

  TEST_CASE("permutes as torch.randperm does, as far as it is asked") {
    const std::vector<int64_t> ten = {5, 9, 0, 3, 1, 7, 4, 8, 6, 2};
    for (size_t count = 0; count <= ten.size(); ++count) {
      CHECK(TorchGenerator(777).PermutationStart(10, count) ==
            std::vector<int64_t>(ten.begin(), ten.begin() + static_cast<std::ptrdiff_t>(count)));
    }
    CHECK(TorchGenerator((uint64_t{1} << 40) + 5).PermutationStart(5000, 8) ==
          std::vector<int64_t>{3411, 4223, 3273, 4487, 2858, 1875, 3966, 1852});
    CHECK(TorchGenerator(TorchGenerator::kUnseeded).PermutationStart(99, 6) ==
          std::vector<int64_t>{63, 97, 43, 79, 83, 88});
    CHECK(TorchGenerator(3).PermutationStart(1, 1) == std::vector<int64_t>{0});
    CHECK(TorchGenerator(3).PermutationStart(2, 2) == std::vector<int64_t>{0, 1});
  }

  TEST_CASE("a whole permutation holds every number once") {
    std::vector<int64_t> all = TorchGenerator(1).PermutationStart(1000, 1000);
    std::sort(all.begin(), all.end());
    for (int64_t i = 0; i < 1000; ++i) CHECK(all[static_cast<size_t>(i)] == i);
  }

  TEST_CASE("spreads numbers evenly as uniform_ does, in float32 and bfloat16") {
    TorchGenerator generator(5);
    for (const float wanted :
         {0x1.2916c6p-1f, -0x1.fb732p-4f, 0x1.509fdep-1f, 0x1.23cd7ap-1f, 0x1.5717ccp-1f}) {
      CHECK(generator.Uniform(-0.25f, 0.75f) == wanted);
    }
    TorchGenerator coarse(5);
    for (const float wanted :
         {0x1.96p-3f, -0x1.ccp-3f, 0x1.f4p-3f, 0x1.8ap-3f, 0x1.02p-2f, -0x1.d8p-3f}) {
      CHECK(coarse.UniformBFloat16(-0.3f, 0.3f) == wanted);
    }
  }

  TEST_CASE("spreads few numbers normally bit for bit, and many as closely as float32 allows") {
    std::vector<double> few(7);
    TorchGenerator(42).Normal(0, 0.5, few);
    CHECK(few == std::vector<double>{0x1.58c55cp-3, 0x1.07cd3ap-4, 0x1.e02dcep-4, 0x1.d7b8d8p-4,
                                     -0x1.1f7384p-1, -0x1.7d99bp-4, 0x1.1aa658p+0});
    const std::vector<double> wanted = {
        0.9634576439857483,   0.7436420321464539,   0.4503585994243622,  -1.0527604818344116,
        -0.3790655732154846,  0.539158821105957,    0.4004002809524536,  0.840310275554657,
        0.17792995274066925,  -0.34331148862838745, -0.2466781735420227, 0.12074389308691025,
        -0.11581216007471085, 0.020879745483398438, -0.1257876455783844, 0.429929256439209,
        -0.1548633873462677,  -0.19785524904727936, 0.40170466899871826, -0.31079769134521484};
    std::vector<double> many(wanted.size());
    TorchGenerator(42).Normal(0, 0.5, many);
    for (size_t i = 0; i < many.size(); ++i) CHECK(std::fabs(many[i] - wanted[i]) < 5e-7);
  }

  TEST_CASE("draws as PCG64 of NumPy's default generator does") {
    NumpyGenerator generator(42);
    for (const uint64_t wanted : {0xc621fbcd16d92688u, 0x705a5661a791ffc1u, 0xdbcd12c26eda1624u}) {
      CHECK(generator.Next64() == wanted);
    }
    NumpyGenerator large((uint64_t{1} << 40) + 3);
    CHECK(large.Next64() == 0xc60e533fbbb0872cu);
    CHECK(large.Next64() == 0xfef0825f71d66341u);
  }

  TEST_CASE("chooses without replacement and shuffles as NumPy does, one after the other") {
    NumpyGenerator generator(3);
    CHECK(generator.Choice(50, 8) == std::vector<uint32_t>{10, 42, 38, 46, 8, 3, 29, 34});
    std::vector<uint32_t> twelve(12);
    std::iota(twelve.begin(), twelve.end(), 0u);
    generator.Shuffle(twelve);
    CHECK(twelve == std::vector<uint32_t>{10, 1, 11, 4, 0, 7, 3, 5, 8, 9, 2, 6});

    NumpyGenerator other(1);
    const std::vector<uint32_t> tail = other.Choice(12000, 1000);
    CHECK(std::vector<uint32_t>(tail.begin(), tail.begin() + 6) ==
          std::vector<uint32_t>{7429, 10667, 8712, 528, 1491, 10866});
    CHECK(std::accumulate(tail.begin(), tail.end(), uint64_t{0}) == 6012877);
    std::vector<uint32_t> five = {0, 1, 2, 3, 4};
    other.Shuffle(five);
    CHECK(five == std::vector<uint32_t>{4, 3, 1, 0, 2});
  }
}

}  // namespace
}  // namespace graft::converter
