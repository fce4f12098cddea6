// SPDX-License-Identifier: Apache-2.0
// The NF4 round trip against one that looks at all sixteen values, and what is left alone.
#include "converter/checkpoint/nf4_base.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include <doctest/doctest.h>

#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr std::array<double, 16> kValues = {
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
};

// One block at a time, the nearest by trying all.
std::vector<double> RoundTrip(const std::vector<double>& numbers) {
  std::vector<double> rounded(numbers.size());
  for (size_t begin = 0; begin < numbers.size(); begin += 64) {
    const size_t end = std::min(numbers.size(), begin + 64);
    double largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(numbers[i]));
    for (size_t i = begin; i < end; ++i) {
      const double unit = largest == 0 ? 0 : numbers[i] / largest;
      const auto nearest = std::min_element(
          kValues.begin(), kValues.end(),
          [unit](double x, double y) { return std::fabs(x - unit) < std::fabs(y - unit); });
      rounded[i] = static_cast<float>(*nearest) * static_cast<float>(largest);
    }
  }
  return rounded;
}

struct SmallBase {
  TemporaryFolder folder;
  SmallTensors tensors;
  std::shared_ptr<const Checkpoint> checkpoint;

  SmallBase() {
    tensors["model.embed_tokens.weight"] = RandomTensor({32, 41}, 1);
    tensors["model.layers.0.fc.weight"] = RandomTensor({53, 41}, 2);
    tensors["model.layers.0.fc.bias"] = RandomTensor({53}, 3);
    tensors["model.layers.0.norm.weight"] = RandomTensor({41}, 4);
    tensors["model.layers.0.conv.weight"] = RandomTensor({8, 4, 3}, 5);
    tensors["lm_head.weight"] = RandomTensor({32, 41}, 6);
    for (size_t i = 0; i < 64; ++i) tensors["model.layers.0.fc.weight"].values[128 + i] = 0;
    Open();
  }
  void Open() {
    WriteTensors(folder / "model.safetensors", tensors);
    auto opened = Checkpoint::Open(folder / "model.safetensors");
    REQUIRE(opened.ok());
    checkpoint = std::move(opened).value();
  }
};

TEST_SUITE("converter/nf4_base") {
  TEST_CASE("rounds linear weights in blocks that run over the ends of rows") {
    SmallBase base;
    const auto nf4 = Nf4Base::Create(*base.checkpoint, {});
    REQUIRE_MESSAGE(nf4.ok(), nf4.status().message());
    const std::vector<double> expected = RoundTrip(base.tensors["model.layers.0.fc.weight"].values);
    for (const int64_t block : {1, 2, 5, 64})
      CHECK(ReadAll(**nf4, "model.layers.0.fc.weight", block) == expected);
    for (const auto& [name, tensor] : base.tensors) {
      if (name == "model.layers.0.fc.weight") continue;
      CHECK_FALSE((*nf4)->Rounds(name));
      CHECK(ReadAll(**nf4, name) == tensor.values);
    }
  }

  TEST_CASE("rounds to the base's own element type") {
    SmallBase base;
    base.tensors["model.layers.0.fc.weight"] = RandomTensor({53, 41}, 2, true);
    base.tensors["model.layers.0.fc.weight"].dtype = DType::kBFloat16;
    base.Open();
    const auto nf4 = Nf4Base::Create(*base.checkpoint, {});
    REQUIRE(nf4.ok());
    const std::vector<double> expected = RoundTrip(base.tensors["model.layers.0.fc.weight"].values);
    const std::vector<double> got = ReadAll(**nf4, "model.layers.0.fc.weight");
    for (size_t i = 0; i < got.size(); ++i) {
      CHECK(std::fabs(got[i] - expected[i]) <= std::fabs(expected[i]) * 0x1p-8);
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(got[i]));
      CHECK((bits & 0xFFFF) == 0);
    }
  }

  TEST_CASE("double quantization moves scales by no more than 8 bits can miss") {
    SmallBase base;
    const auto once = Nf4Base::Create(*base.checkpoint, {});
    const auto twice = Nf4Base::Create(*base.checkpoint, {true});
    REQUIRE(once.ok());
    REQUIRE(twice.ok());
    const std::vector<double> single = ReadAll(**once, "model.layers.0.fc.weight");
    const std::vector<double> two = ReadAll(**twice, "model.layers.0.fc.weight");
    CHECK(ReadAll(**twice, "model.layers.0.fc.weight", 3) == two);
    CHECK(two != single);
    // All of a block move by the same factor, since the codes stay; the gaps of the 8-bit type are
    // at most 0.9 / 64 of the largest deviation from the mean scale.
    std::vector<double> scales;
    for (size_t begin = 0; begin < single.size(); begin += 64) {
      double largest = 0;
      for (size_t i = begin; i < std::min(single.size(), begin + 64); ++i)
        largest = std::max(largest, std::fabs(single[i]));
      scales.push_back(largest);
    }
    double mean = 0;
    for (const double scale : scales) mean += scale / static_cast<double>(scales.size());
    double deviation = 0;
    for (const double scale : scales) deviation = std::max(deviation, std::fabs(scale - mean));
    for (size_t i = 0; i < single.size(); ++i) {
      const double allowed = deviation * 0.9 / 64 + 1e-6;
      const double code = scales[i / 64] == 0 ? 0 : std::fabs(single[i]) / scales[i / 64];
      CHECK(std::fabs(two[i] - single[i]) <= allowed * code + 1e-6);
    }
  }

  TEST_CASE("an adapter is merged into the rounded base, and the rest of it is rounded too") {
    SmallBase base;
    base.tensors["model.layers.1.fc.weight"] = RandomTensor({53, 41}, 7);
    base.Open();
    SmallTensors adapter;
    adapter["base_model.model.model.layers.0.fc.lora_A.weight"] = RandomTensor({2, 41}, 8);
    adapter["base_model.model.model.layers.0.fc.lora_B.weight"] = RandomTensor({53, 2}, 9);
    const std::string settings = R"("r": 2, "lora_alpha": 2, "target_modules": ["layers.0.fc"])";
    WriteAdapter(base.folder / "a", "LORA", settings, adapter);
    MergeRequest request;
    request.base = base.folder / "model.safetensors";
    request.adapters = {{base.folder / "a", 1}};
    request.rules.nf4_base = Nf4Options{};
    request.output = base.folder / "merged";
    const auto report = MergeCheckpoint(request);
    REQUIRE_MESSAGE(report.ok(), report.status().message());
    const auto merged = Checkpoint::Open(base.folder / "merged");
    REQUIRE(merged.ok());
    CHECK(ReadAll(**merged, "model.layers.1.fc.weight") ==
          RoundTrip(base.tensors["model.layers.1.fc.weight"].values));
    CHECK(ReadAll(**merged, "lm_head.weight") == base.tensors["lm_head.weight"].values);

    // The same adapter on a base that was rounded before.
    for (const char* name : {"model.layers.0.fc.weight", "model.layers.1.fc.weight"})
      base.tensors[name].values = RoundTrip(base.tensors[name].values);
    base.Open();
    const auto plain = Merge(base.folder / "model.safetensors", base.folder / "a");
    REQUIRE(plain.ok());
    const std::vector<double> expected = ReadAll(**plain, "model.layers.0.fc.weight");
    const std::vector<double> stored = ReadAll(**merged, "model.layers.0.fc.weight");
    for (size_t i = 0; i < stored.size(); ++i) CHECK(stored[i] == static_cast<float>(expected[i]));
  }

  TEST_CASE("refuses layers stored transposed, and a base without linear weights") {
    TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors",
                 {{"h.0.attn.c_attn.weight", RandomTensor({8, 24}, 1)}});
    auto opened = Checkpoint::Open(folder / "model.safetensors");
    REQUIRE(opened.ok());
    auto nf4 = Nf4Base::Create(**opened, {});
    CHECK(nf4.status().code() == StatusCode::kUnsupported);
    CHECK(nf4.status().message().find("c_attn") != std::string_view::npos);
    WriteTensors(folder / "model.safetensors", {{"norm.weight", RandomTensor({8}, 1)}});
    opened = Checkpoint::Open(folder / "model.safetensors");
    REQUIRE(opened.ok());
    CHECK(Nf4Base::Create(**opened, {}).status().code() == StatusCode::kUnsupported);
  }
}

}  // namespace
}  // namespace graft::converter
