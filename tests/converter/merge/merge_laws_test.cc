// SPDX-License-Identifier: Apache-2.0
// Laws any right merge obeys, and the three-loop reference the fast one answers to.
#include <cmath>

#include <doctest/doctest.h>

#include "converter/tensors/float_formats.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"

namespace graft::converter {
namespace {

constexpr const char* kA = "base_model.model.fc.lora_A.weight";
constexpr const char* kB = "base_model.model.fc.lora_B.weight";
constexpr const char* kMagnitude = "base_model.model.fc.lora_magnitude_vector";
constexpr const char* kSettings = R"("r": 7, "lora_alpha": 16, "target_modules": ["fc"])";

// A base of one oblong layer with a bias, and an adapter of rank 7 on it.
struct Layer {
  TemporaryFolder folder;
  SmallTensors base;
  SmallTensors adapter;
  int made = 0;

  Layer() {
    base["fc.weight"] = RandomTensor({53, 41}, 1);
    base["fc.bias"] = RandomTensor({53}, 2);
    adapter[kA] = RandomTensor({7, 41}, 3);
    adapter[kB] = RandomTensor({53, 7}, 4);
    WriteTensors(folder / "model.safetensors", base);
  }
  std::vector<double> MergedWeight(std::string_view settings = kSettings, int64_t block = 1000) {
    const std::filesystem::path path = folder / ("adapter" + std::to_string(made++));
    WriteAdapter(path, "LORA", settings, adapter);
    const auto merged = Merge(folder / "model.safetensors", path);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    return ReadAll(**merged, "fc.weight", block);
  }
};

std::vector<float> Rounded(const std::vector<double>& values) {
  return std::vector<float>(values.begin(), values.end());
}

reference::LowRank Update(const Layer& layer, double scale) {
  return {layer.adapter.at(kA).values, layer.adapter.at(kB).values, 7, scale,
          reference::Orientation::kStraight};
}

TEST_SUITE("converter/merge_laws") {
  TEST_CASE("equals the three-loop reference bit for bit, however the rows are grouped") {
    Layer layer;
    const std::vector<double> expected =
        reference::MergeLora(layer.base["fc.weight"].values, 53, 41, Update(layer, 16.0 / 7));
    for (const int64_t block : {1, 3, 4, 64})
      CHECK(layer.MergedWeight(kSettings, block) == expected);
  }

  TEST_CASE("equals the reference for DoRA to the last bits of float64") {
    Layer layer;
    layer.adapter[kMagnitude] = RandomTensor({53}, 5);
    const std::string settings = std::string(kSettings) + R"(, "use_dora": true)";
    const std::vector<double> merged = layer.MergedWeight(settings);
    const std::vector<double> expected =
        reference::MergeDora(layer.base["fc.weight"].values, 53, 41, Update(layer, 16.0 / 7),
                             layer.adapter[kMagnitude].values);
    // Two orders of summing 41 squares, a root and a quotient.
    for (size_t i = 0; i < merged.size(); ++i) {
      CHECK(std::fabs(merged[i] - expected[i]) <= 64 * 0x1p-53 * std::fabs(expected[i]));
    }
    for (const int64_t block : {1, 3, 64}) CHECK(layer.MergedWeight(settings, block) == merged);
  }

  TEST_CASE("DoRA with the magnitudes the merged rows have is LoRA") {
    Layer layer;
    const std::vector<double> lora = layer.MergedWeight();
    SmallTensor magnitude{{53}, {}, DType::kFloat64};
    for (size_t r = 0; r < 53; ++r) {
      double squares = 0;
      for (size_t c = 0; c < 41; ++c) squares += lora[r * 41 + c] * lora[r * 41 + c];
      magnitude.values.push_back(std::sqrt(squares));
    }
    layer.adapter[kMagnitude] = magnitude;
    const std::vector<double> dora =
        layer.MergedWeight(std::string(kSettings) + R"(, "use_dora": true)");
    for (size_t i = 0; i < dora.size(); ++i)
      CHECK(std::fabs(dora[i] - lora[i]) <= 32 * 0x1p-53 * std::fabs(lora[i]));
  }

  TEST_CASE("B = 0 leaves the base's numbers, the sign of zero included") {
    Layer layer;
    layer.base["fc.weight"].values[0] = -0.0;
    WriteTensors(layer.folder / "model.safetensors", layer.base);
    for (double& value : layer.adapter[kB].values) value = -0.0;
    const std::vector<double> merged = layer.MergedWeight();
    CHECK(merged == layer.base["fc.weight"].values);
    CHECK(std::signbit(merged[0]));
  }

  TEST_CASE("the order of the ranks does not show in float32") {
    Layer layer;
    const std::vector<float> before = Rounded(layer.MergedWeight());
    SmallTensors permuted = layer.adapter;
    for (size_t k = 0; k < 7; ++k) {
      const size_t to = (k * 3 + 2) % 7;
      for (size_t c = 0; c < 41; ++c)
        permuted[kA].values[to * 41 + c] = layer.adapter[kA].values[k * 41 + c];
      for (size_t r = 0; r < 53; ++r)
        permuted[kB].values[r * 7 + to] = layer.adapter[kB].values[r * 7 + k];
    }
    layer.adapter = permuted;
    CHECK(Rounded(layer.MergedWeight()) == before);
  }

  TEST_CASE("A times a power of two and B by it is the same update") {
    Layer layer;
    const std::vector<double> before = layer.MergedWeight();
    for (double& value : layer.adapter[kA].values) value *= 0x1p9;
    for (double& value : layer.adapter[kB].values) value *= 0x1p-9;
    CHECK(layer.MergedWeight() == before);
  }

  TEST_CASE("rsLoRA at alpha is LoRA at alpha times the root of the rank") {
    Layer layer;
    // Rank 4, whose root is exact.
    layer.adapter[kA] = RandomTensor({4, 41}, 3);
    layer.adapter[kB] = RandomTensor({53, 4}, 4);
    CHECK(layer.MergedWeight(
              R"("r": 4, "lora_alpha": 10, "use_rslora": true, "target_modules": ["fc"])") ==
          layer.MergedWeight(R"("r": 4, "lora_alpha": 20, "target_modules": ["fc"])"));
  }

  TEST_CASE("twice the alpha is twice the delta") {
    Layer layer;
    const std::vector<double> once =
        layer.MergedWeight(R"("r": 7, "lora_alpha": 7, "target_modules": ["fc"])");
    const std::vector<double> twice =
        layer.MergedWeight(R"("r": 7, "lora_alpha": 14, "target_modules": ["fc"])");
    const std::vector<double>& base = layer.base["fc.weight"].values;
    for (size_t i = 0; i < base.size(); ++i) {
      // Each merged value was rounded to float64 once.
      const double slack = 0x1p-52 * (std::fabs(base[i]) + std::fabs(twice[i]));
      CHECK(std::fabs((twice[i] - base[i]) - 2 * (once[i] - base[i])) <= 4 * slack);
    }
  }

  TEST_CASE("two adapters of the same delta at w and 1 - w are one") {
    Layer layer;
    WriteAdapter(layer.folder / "x", "LORA", kSettings, layer.adapter);
    const std::vector<double> one = layer.MergedWeight();
    auto base = Checkpoint::Open(layer.folder / "model.safetensors");
    REQUIRE(base.ok());
    const AdapterSpec specs[] = {{layer.folder / "x", 0.25}, {layer.folder / "x", 0.75}};
    const auto merged = MergedSource::Open(std::move(base).value(), specs);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    CHECK((*merged)->report().adapters.size() == 2);
    CHECK(Rounded(ReadAll(**merged, "fc.weight")) == Rounded(one));
  }

  TEST_CASE("reads merged and base rows in one pass as in two") {
    Layer layer;
    WriteAdapter(layer.folder / "x", "LORA", kSettings, layer.adapter);
    const auto merged = Merge(layer.folder / "model.safetensors", layer.folder / "x");
    REQUIRE(merged.ok());
    std::vector<double> together(53 * 41), base(53 * 41);
    REQUIRE((*merged)->ReadRowsAndBase("fc.weight", 0, 53, together, base).ok());
    CHECK(together == ReadAll(**merged, "fc.weight"));
    CHECK(base == layer.base["fc.weight"].values);
    CHECK((*merged)->IsAdapted("fc.weight"));
    CHECK_FALSE((*merged)->IsAdapted("fc.bias"));
    CHECK((*merged)->ReadRows("fc.weight", 50, 54, together).code() == StatusCode::kOutOfRange);
    CHECK((*merged)->ReadRows("none", 0, 1, together).code() == StatusCode::kNotFound);
  }

  TEST_CASE("factors in bfloat16 and float16 merge by their exact values") {
    for (const DType dtype : {DType::kBFloat16, DType::kFloat16}) {
      Layer layer;
      layer.adapter[kA] = RandomTensor({7, 41}, 3, true);
      layer.adapter[kB] = RandomTensor({53, 7}, 4, true);
      const std::vector<double> wide = layer.MergedWeight();
      layer.adapter[kA].dtype = layer.adapter[kB].dtype = dtype;
      CHECK(layer.MergedWeight() == wide);
    }
  }
}

}  // namespace
}  // namespace graft::converter
