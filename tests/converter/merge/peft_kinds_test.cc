// SPDX-License-Identifier: Apache-2.0
// Adapters of PEFT's further kinds merge to what PEFT merges them to, and nothing else changes.
#include <algorithm>
#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include "converter/formats/open_weight_file.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

struct Case {
  const char* name;
  const char* kind;
  /// Of the largest number of a matrix: PEFT works in float32, and takes singular values and
  /// standard deviations in it.
  double tolerance = 5e-7;
};

constexpr double kDecomposed = 1e-5;

constexpr Case kCases[] = {
    {"beft", "beft"},
    {"c3a", "c3a"},
    {"deft", "deft"},
    {"deft_qr_gpt2", "deft"},
    {"delora", "delora"},
    {"fourierft", "fourierft"},
    {"fourierft_gpt2", "fourierft"},
    {"frod", "frod"},
    {"glora", "glora"},
    {"glora_vector", "glora"},
    {"gralora", "gralora"},
    {"gralora_hybrid_gpt2", "gralora"},
    {"hira", "hira"},
    {"hira_conv", "hira"},
    {"ln_tuning", "ln_tuning"},
    {"ln_tuning_gpt2", "ln_tuning"},
    {"miss", "miss"},
    {"miss_bat", "miss"},
    {"osf", "osf", kDecomposed},
    {"peanut", "peanut"},
    {"pvera", "pvera"},
    {"pvera_no_projection", "pvera"},
    {"randlora", "randlora"},
    {"randlora_no_projection", "randlora"},
    {"road", "road"},
    {"road_4", "road"},
    {"shira", "shira"},
    {"supertuning", "supertuning"},
    {"supertuning_no_indices", "supertuning"},
    {"tinylora", "tinylora"},
    {"tinylora_no_projection", "tinylora"},
    {"unilora", "unilora"},
    {"unilora_indices", "unilora"},
    {"vblora", "vblora"},
    {"vblora_topk", "vblora"},
    {"waveft", "waveft"},
    {"waveft_odd", "waveft"},
};

std::vector<double> Whole(const WeightFile& file, const WeightFile::Entry& entry) {
  std::vector<double> values(static_cast<size_t>(entry.info.rows() * entry.info.row_elements()));
  REQUIRE(file.ReadElements(entry, 0, values).ok());
  return values;
}

void CheckCase(const Case& one) {
  INFO("case ", one.name);
  const std::filesystem::path folder = TestData("adapters") / one.name;
  const std::string base_name = ReadBytes(folder / "base.txt");
  const std::filesystem::path base_folder =
      TestData("adapters") / base_name.substr(0, base_name.find('\n'));
  const auto merged = Merge(base_folder, folder);
  REQUIRE_MESSAGE(merged.ok(), merged.status().message());
  const AdapterReport& report = (*merged)->report().adapters[0];
  CHECK(report.kind == one.kind);
  CHECK(report.modules_merged == report.modules_expected);
  CHECK(report.modules_merged > 0);
  const auto base = Checkpoint::Open(base_folder);
  const auto expected = OpenWeightFile(folder / "merged.safetensors");
  REQUIRE(base.ok());
  REQUIRE(expected.ok());
  std::set<std::string> seen;
  for (const TensorInfo& info : (*merged)->tensors()) {
    INFO(info.name);
    const std::vector<double> values = ReadAll(**merged, info.name, 5);
    seen.insert(info.name);
    const WeightFile::Entry* reference = (*expected)->Find(info.name);
    if (reference == nullptr) {
      CHECK(values == ReadAll(**base, info.name));
      continue;
    }
    CHECK(values == ReadAll(**merged, info.name));
    REQUIRE(reference->info.shape == info.shape);
    const std::vector<double> wanted = Whole(**expected, *reference);
    double largest = 0;
    double worst = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      largest = std::max(largest, std::fabs(wanted[i]));
      worst = std::max(worst, std::fabs(static_cast<float>(values[i]) - wanted[i]));
    }
    CHECK_MESSAGE(worst <= one.tolerance * largest, "worst is ", worst / largest);
  }
  for (const WeightFile::Entry& entry : (*expected)->entries()) {
    CHECK_MESSAGE(seen.count(entry.info.name) == 1, entry.info.name);
  }
}

TEST_SUITE("converter/peft_kinds") {
  TEST_CASE("merges PEFT's further kinds as PEFT does") {
    for (const Case& one : kCases) CheckCase(one);
  }
}

}  // namespace
}  // namespace graft::converter
