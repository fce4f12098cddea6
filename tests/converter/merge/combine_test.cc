// SPDX-License-Identifier: Apache-2.0
// Several adapters in one: thresholds against sorting, rules against loops that spell them out.
#include "converter/merge/combine.h"

#include <algorithm>
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr const char* kSettings = R"("r": 3, "lora_alpha": 6, "target_modules": ["fc"])";

double SortedThreshold(const std::vector<double>& values, double density) {
  std::vector<double> magnitudes;
  for (const double value : values) magnitudes.push_back(std::fabs(value));
  std::sort(magnitudes.rbegin(), magnitudes.rend());
  const auto keep = static_cast<size_t>(density * static_cast<double>(values.size()));
  return keep >= values.size() ? 0.0 : magnitudes[keep - 1];
}

Result<double> Threshold(const std::vector<double>& values, double density, size_t block) {
  return MagnitudeThreshold(
      static_cast<int64_t>(values.size()), density,
      [&](const std::function<void(std::span<const double>)>& numbers) {
        for (size_t at = 0; at < values.size(); at += block) {
          numbers(std::span(values).subspan(at, std::min(block, values.size() - at)));
        }
        return OkStatus();
      });
}

// A base of one layer and three adapters on it.
struct ThreeAdapters {
  TemporaryFolder folder;
  SmallTensors base;
  std::vector<std::vector<double>> changes;  // W' - W of each alone

  ThreeAdapters() {
    base["fc.weight"] = RandomTensor({37, 29}, 1);
    WriteTensors(folder / "model.safetensors", base);
    for (uint32_t i = 0; i < 3; ++i) {
      SmallTensors adapter;
      adapter["base_model.model.fc.lora_A.weight"] = RandomTensor({3, 29}, 10 + i);
      adapter["base_model.model.fc.lora_B.weight"] = RandomTensor({37, 3}, 20 + i);
      WriteAdapter(folder / std::to_string(i), "LORA", kSettings, adapter);
      const auto merged = Merge(folder / "model.safetensors", folder / std::to_string(i));
      REQUIRE_MESSAGE(merged.ok(), merged.status().message());
      changes.push_back(ReadAll(**merged, "fc.weight"));
      for (size_t e = 0; e < changes.back().size(); ++e)
        changes.back()[e] -= base["fc.weight"].values[e];
    }
  }

  Result<std::unique_ptr<MergedSource>> Combine(CombineRule rule,
                                                const std::vector<double>& weights) const {
    GRAFT_ASSIGN_OR_RETURN(auto opened, Checkpoint::Open(folder / "model.safetensors"));
    std::vector<AdapterSpec> specs;
    for (size_t i = 0; i < weights.size(); ++i)
      specs.push_back({folder / std::to_string(i), weights[i]});
    MergeRules rules;
    rules.combine = rule;
    return MergedSource::Open(std::move(opened), specs, rules);
  }
};

TEST_SUITE("converter/combine") {
  TEST_CASE("the threshold is the one that sorting finds, however the numbers come") {
    std::mt19937_64 random(5);
    std::vector<double> values;
    for (int i = 0; i < 5000; ++i) {
      const double unit = std::ldexp(static_cast<double>(random() >> 11), -53) - 0.5;
      values.push_back(std::ldexp(unit, static_cast<int>(random() % 40) - 20));
    }
    // Equal magnitudes, zeros of both signs, subnormals, and neighbours in the last bit.
    for (int i = 0; i < 300; ++i) values.push_back(i % 2 == 0 ? 0.25 : -0.25);
    for (int i = 0; i < 300; ++i) values.push_back(i % 2 == 0 ? 0.0 : -0.0);
    for (int i = 1; i < 50; ++i) values.push_back(i * 0x1p-1074);
    for (int i = 0; i < 50; ++i) values.push_back(1.0 + i * 0x1p-52);
    for (const double density : {0.001, 0.05, 0.2, 0.5, 0.9, 0.97, 0.999, 1.0}) {
      for (const size_t block : {size_t{1}, size_t{97}, values.size()}) {
        const auto threshold = Threshold(values, density, block);
        REQUIRE(threshold.ok());
        CHECK(*threshold == SortedThreshold(values, density));
      }
    }
    CHECK(Threshold(values, 1e-6, 64).status().code() == StatusCode::kInvalidArgument);
  }

  TEST_CASE("ties trims, elects and takes the mean of those that agree") {
    // Columns: all agree; outvoted in magnitude; trimmed away; a tie goes to plus; nothing left.
    const std::vector<double> a = {1.0, 4.0, 0.1, 2.0, 0.2};
    const std::vector<double> b = {3.0, -1.0, 5.0, -2.0, -0.2};
    const std::vector<double> c = {2.0, -2.0, 0.2, 0.0, 0.1};
    const std::vector<WeightedChange> changes = {{a, 1.0, 0.5}, {b, 0.5, 0.5}, {c, 2.0, 0.5}};
    std::vector<double> rows = {10, 10, 10, 10, 10};
    AddCombined(CombineMethod::kTies, changes, rows);
    CHECK(rows == std::vector<double>{10 + (1.0 + 1.5 + 4.0) / 3, 14.0, 12.5, 12.0, 10.0});
    rows = {10, 10, 10, 10, 10};
    AddCombined(CombineMethod::kMagnitudePrune, changes, rows);
    CHECK(rows == std::vector<double>{16.5, 9.5, 12.5, 11.0, 10.0});
  }

  TEST_CASE("merges three adapters by each rule as loops over their changes do") {
    const ThreeAdapters three;
    const std::vector<double> weights = {0.75, -0.5, 1.25};
    const std::vector<double>& base = three.base.at("fc.weight").values;
    for (const double density : {0.1, 0.5}) {
      for (const CombineMethod method : {CombineMethod::kTies, CombineMethod::kMagnitudePrune}) {
        const auto merged = three.Combine({method, density}, weights);
        REQUIRE_MESSAGE(merged.ok(), merged.status().message());
        const std::vector<double> got = ReadAll(**merged, "fc.weight");
        CHECK(ReadAll(**merged, "fc.weight", 3) == got);
        size_t untouched = 0;
        for (size_t e = 0; e < base.size(); ++e) {
          double kept[3], balance = 0;
          for (size_t i = 0; i < 3; ++i) {
            const double d = three.changes[i][e];
            kept[i] = std::fabs(d) >= SortedThreshold(three.changes[i], density) ? d : 0;
            balance += kept[i];
          }
          double sum = 0;
          int count = 0;
          for (size_t i = 0; i < 3; ++i) {
            const bool agrees = kept[i] != 0 && (kept[i] > 0) == (balance >= 0);
            if (method == CombineMethod::kTies && !agrees) continue;
            sum += weights[i] * kept[i];
            ++count;
          }
          if (method == CombineMethod::kTies && count > 0) sum /= count;
          untouched += got[e] == base[e];
          CHECK(std::fabs(got[e] - (base[e] + sum)) <= 0x1p-50);
        }
        // The test would pass on too little if nothing were pruned.
        CHECK(untouched > base.size() / 20);
        CHECK(untouched < base.size());
      }
    }
  }

  TEST_CASE("keeping everything, pruning is the sum, and one adapter is itself") {
    const ThreeAdapters three;
    const auto sum = three.Combine({CombineMethod::kSum, 1}, {0.5, 0.25, 1});
    const auto pruned = three.Combine({CombineMethod::kMagnitudePrune, 1}, {0.5, 0.25, 1});
    REQUIRE(sum.ok());
    REQUIRE(pruned.ok());
    CHECK(ReadAll(**sum, "fc.weight") == ReadAll(**pruned, "fc.weight"));
    const auto one = three.Combine({CombineMethod::kTies, 1}, {1});
    REQUIRE(one.ok());
    const std::vector<double> got = ReadAll(**one, "fc.weight");
    for (size_t e = 0; e < got.size(); ++e) {
      CHECK(got[e] == three.base.at("fc.weight").values[e] + three.changes[0][e]);
    }
    CHECK((*sum)->report().tensors[0].rank == 9);
    CHECK((*sum)->report().tensors[0].kind == "lora");
  }

  TEST_CASE("does not prune rows that the base does not have") {
    TemporaryFolder folder;
    SmallTensors base;
    base["model.embed_tokens.weight"] = RandomTensor({10, 8}, 1);
    WriteTensors(folder / "model.safetensors", base);
    SmallTensors adapter;
    adapter["base_model.model.model.embed_tokens.weight"] = RandomTensor({12, 8}, 2);
    WriteAdapter(folder / "a", "LORA",
                 R"("r": 1, "target_modules": [], "modules_to_save": ["embed_tokens"])", adapter);
    auto opened = Checkpoint::Open(folder / "model.safetensors");
    REQUIRE(opened.ok());
    const AdapterSpec spec{folder / "a", 1};
    MergeRules rules;
    rules.combine = {CombineMethod::kTies, 0.5};
    const auto merged = MergedSource::Open(std::move(opened).value(), std::span(&spec, 1), rules);
    CHECK(merged.status().code() == StatusCode::kUnsupported);
    CHECK(merged.status().message().find("embed_tokens") != std::string_view::npos);
  }
}

}  // namespace
}  // namespace graft::converter
