// SPDX-License-Identifier: Apache-2.0
// The functions of calibration against the C library's, and the products on every instruction set.
#include "converter/calibrate/numbers/fixed_math.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <doctest/doctest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include "converter/calibrate/numbers/integer_products.h"
#include "converter/calibrate/numbers/products.h"

namespace graft::test {
namespace {

using converter::FixedErf;
using converter::FixedExp;
using converter::FixedLog;
using converter::FixedSinCos;
using converter::FixedTanh;

// Units in the last place of binary64.
double Units(double value, double expected) {
  return std::fabs(value - expected) / (std::fabs(expected) * 0x1p-52 + 0x1p-1070);
}

std::vector<float> RandomFloats(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  for (float& x : numbers) x = normal(random);
  return numbers;
}

TEST_SUITE("converter/fixed_math") {
  TEST_CASE("functions agree with the C library's to some units in the last place") {
    for (int i = -4000; i <= 4000; ++i) {
      const double x = i * 0.01733;
      CHECK(Units(FixedExp(x), std::exp(x)) < 4);
      CHECK(std::fabs(FixedTanh(x) - std::tanh(x)) < 4e-16);
      CHECK(std::fabs(FixedErf(x / 8) - std::erf(x / 8)) < 2e-15);
      double sine = 0, cosine = 0;
      FixedSinCos(x * 150, &sine, &cosine);
      CHECK(std::fabs(sine - std::sin(x * 150)) < 4e-16);
      CHECK(std::fabs(cosine - std::cos(x * 150)) < 4e-16);
      const double y = std::exp(x / 4);
      CHECK(std::fabs(FixedLog(y) - std::log(y)) < 4e-16 * (1 + std::fabs(x)));
    }
    CHECK(FixedExp(0) == 1);
    CHECK(FixedExp(-1e9) == 0);
    CHECK(std::isfinite(FixedExp(1e9)));
    CHECK(FixedTanh(-1e9) == -1);
    CHECK(FixedErf(1e9) == 1);
  }

  TEST_CASE("products are the sums in their order, on every instruction set") {
    constexpr size_t kRows = 13, kIn = 37, kOut = 19, kStride = 23;
    const std::vector<float> x = RandomFloats(kRows * kIn, 1), w = RandomFloats(kOut * kIn, 2);
    std::vector<float> expected(kRows * kStride, 0.5f);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t o = 0; o < kOut; ++o) {
        double sum = 0;
        for (size_t i = 0; i < kIn; ++i) sum += double{x[r * kIn + i]} * double{w[o * kIn + i]};
        expected[r * kStride + o] = static_cast<float>(sum);
      }
    }
    std::vector<double> a(x.begin(), x.begin() + kIn), sums = a;
    for (size_t i = 0; i < kIn; ++i) sums[i] += 0.1 * double{w[i]};
    // c += a b with a [2, 37] and b the first 37 rows of w, 19 numbers each.
    const std::vector<double> left(x.begin(), x.begin() + 2 * kIn), right(w.begin(), w.end());
    std::vector<double> added(2 * kOut, 0.25);
    for (size_t i = 0; i < added.size(); ++i) {
      for (size_t k = 0; k < kIn; ++k) {
        added[i] += left[i / kOut * kIn + k] * right[k * kOut + i % kOut];
      }
    }
    std::vector<double> exponents(x.begin(), x.begin() + 30), powers;
    exponents[3] = -1e9, exponents[4] = 1e9, exponents[5] = -707.9;
    for (const double e : exponents) powers.push_back(FixedExp(e));
    double dot = std::numeric_limits<double>::quiet_NaN();
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      std::vector<float> y(kRows * kStride, 0.5f);
      converter::MultiplyTransposed(x.data(), w.data(), kRows, kIn, kOut, y.data(), kStride);
      CHECK(y == expected);
      std::vector<double> found(2 * kOut, 0.25), found_of_floats = found;
      converter::AddProducts(left.data(), kIn, right.data(), kOut, 2, kIn, kOut, found.data(),
                             kOut);
      converter::AddProducts(left.data(), kIn, w.data(), kOut, 2, kIn, kOut, found_of_floats.data(),
                             kOut);
      CHECK(found == added);
      CHECK(found_of_floats == added);
      std::vector<double> found_powers = exponents;
      converter::FixedExps(found_powers.data(), found_powers.size());
      CHECK(found_powers == powers);
      std::vector<double> to = a, from(w.begin(), w.begin() + kIn);
      converter::AddScaled(0.1, from.data(), kIn, to.data());
      CHECK(to == sums);
      const double here = converter::Dot(a.data(), from.data(), kIn);
      CHECK((std::isnan(dot) || here == dot));
      CHECK(converter::Dot(x.data(), w.data(), kIn) == here);
      dot = here;
    }
    hwy::SetSupportedTargetsForTest(0);
  }

  TEST_CASE("products of whole numbers are exact, on every instruction set") {
    constexpr size_t kRows = 7, kPairs = 9, kGroupPairs = 4, kColumns = 30, kStride = 31;
    std::mt19937 random(5);
    const auto draw = [&](int most) {
      return static_cast<int>(random() % (2 * static_cast<unsigned>(most) + 1)) - most;
    };
    std::vector<int16_t> x(kRows * 2 * kPairs), wide(600 * converter::kPackedColumns * 2);
    std::vector<int8_t> packed(kPairs * converter::kPackedColumns * 2);
    for (int16_t& code : x) code = static_cast<int16_t>(draw(255));
    for (int16_t& code : wide) code = static_cast<int16_t>(random() % 9 == 0 ? draw(2047) : 2047);
    for (int8_t& code : packed) code = static_cast<int8_t>(draw(127));
    const std::vector<float> scales = RandomFloats(3 * converter::kPackedColumns, 6),
                             row_scales = RandomFloats(kRows, 7);
    std::vector<float> expected(kRows * kStride, 0.5f);
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t c = 0; c < kColumns; ++c) {
        float sum = 0;
        for (size_t begin = 0; begin < 2 * kPairs; begin += 2 * kGroupPairs) {
          int part = 0;
          for (size_t i = begin; i < std::min(begin + 2 * kGroupPairs, 2 * kPairs); ++i) {
            part +=
                x[r * 2 * kPairs + i] * packed[(i / 2 * converter::kPackedColumns + c) * 2 + i % 2];
          }
          const float product = static_cast<float>(part) *
                                scales[begin / 2 / kGroupPairs * converter::kPackedColumns + c];
          sum += product;
        }
        expected[r * kStride + c] = sum * row_scales[r];
      }
    }
    // Columns of the largest codes: what 32 bits hold of them is used up.
    std::vector<double> gram(converter::kPackedColumns * converter::kPackedColumns, 1.0);
    for (size_t i = 0; i < gram.size(); ++i) {
      for (size_t k = 0; k < 2 * 600; ++k) {
        const int16_t* pair = wide.data() + k / 2 * converter::kPackedColumns * 2 + k % 2;
        gram[i] += double{static_cast<double>(pair[i / converter::kPackedColumns * 2])} *
                   pair[i % converter::kPackedColumns * 2];
      }
    }
    for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
      hwy::SetSupportedTargetsForTest(target);
      std::vector<float> y(kRows * kStride, 0.5f);
      converter::MultiplyPacked(x.data(), 2 * kPairs, row_scales.data(), kRows, packed.data(),
                                scales.data(), kPairs, kGroupPairs, kColumns, y.data(), kStride);
      CHECK(y == expected);
      std::vector<double> found(gram.size(), 1.0);
      converter::AddPackedGram(wide.data(), wide.data(), 600, found.data());
      CHECK(found == gram);
      std::vector<int16_t> codes(5);
      const std::vector<float> numbers = {-1.5f, 0.5f, 2.5f, 1000.0f, -1000.0f};
      converter::RoundToCodes(numbers.data(), 5, 1.0f, 3.0f, codes.data());
      CHECK(codes == std::vector<int16_t>{-1, 1, 3, 124, -131});
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

}  // namespace
}  // namespace graft::test
