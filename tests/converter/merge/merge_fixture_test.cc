// SPDX-License-Identifier: Apache-2.0
// Every stored adapter merges to what PEFT merged it to, within the error PEFT's float32 arithmetic
// may have, and nothing else changes.
#include <algorithm>
#include <cmath>
#include <set>

#include <doctest/doctest.h>

#include "converter/adapter/names/newer_names.h"
#include "converter/formats/open_weight_file.h"
#include "converter/formats/safetensors.h"
#include "converter/merge/kinds/adapter_kinds.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"

namespace graft::converter {
namespace {

// PEFT multiplies and adds in float32, in an order of its own: its distance from the exact merge
// was measured to stay below 4.2 times 2^-24 of the sizes of the terms for ranks up to 256. Twice
// that is the tolerance.
constexpr double kPeftTolerance = 8 * 0x1p-24;

std::string FirstLine(const std::filesystem::path& file) {
  const std::string text = ReadBytes(file);
  return text.substr(0, text.find('\n'));
}

std::vector<double> Whole(const WeightFile& file, const WeightFile::Entry& entry) {
  std::vector<double> values(static_cast<size_t>(entry.info.rows() * entry.info.row_elements()));
  REQUIRE(file.ReadRows(entry, 0, entry.info.rows(), values).ok());
  return values;
}

// scale * |B| * |A| of the module a tensor belongs to; zeros where there is none.
std::vector<double> SizesOfTerms(const AdapterFile& adapter, const NewerNames& newer,
                                 const TensorInfo& info, double scale) {
  const size_t count = static_cast<size_t>(info.rows() * info.row_elements());
  const std::string name = newer.Of(info.name);
  if (!name.ends_with(".weight")) return std::vector<double>(count, 0.0);
  const auto found = adapter.modules().find(name.substr(0, name.size() - 7));
  if (found == adapter.modules().end()) return std::vector<double>(count, 0.0);
  const auto& tensors = found->second.tensors;
  const bool embedding = tensors.count("lora_embedding_A") > 0;
  const auto a = tensors.find(embedding ? "lora_embedding_A" : "lora_A");
  const auto b = tensors.find(embedding ? "lora_embedding_B" : "lora_B");
  reference::LowRank update;
  update.scale = scale;
  if (const auto b_scale = tensors.find("vera_lambda_b"); b_scale != tensors.end()) {
    // The shared projection, cut to size and scaled on both sides.
    const auto& shared = adapter.modules().find("")->second.tensors;
    const WeightFile::Entry& a_entry = *shared.at("vera_A").entry;
    const std::vector<double> a_scales =
        Whole(adapter.weights(), *tensors.at("vera_lambda_d").entry);
    const std::vector<double> b_scales = Whole(adapter.weights(), *b_scale->second.entry);
    const std::vector<double> a_all = Whole(adapter.weights(), a_entry);
    update.b = Whole(adapter.weights(), *shared.at("vera_B").entry);
    update.rank = a_entry.info.rows();
    for (size_t i = 0; i < count / b_scales.size() * a_scales.size(); ++i) {
      const size_t columns = count / b_scales.size();
      const size_t k = i / columns;
      update.a.push_back(a_scales[k] *
                         a_all[k * static_cast<size_t>(a_entry.info.shape[1]) + i % columns]);
    }
    for (size_t i = 0; i < b_scales.size() * a_scales.size(); ++i)
      update.b[i] *= b_scales[i / a_scales.size()];
    return reference::TermSizes(info.rows(), info.row_elements(), update);
  }
  if (a == tensors.end() || b == tensors.end()) return std::vector<double>(count, 0.0);
  update.a = Whole(adapter.weights(), *a->second.entry);
  update.b = Whole(adapter.weights(), *b->second.entry);
  update.rank = a->second.entry->info.rows();
  const bool straight = !embedding && info.rows() == b->second.entry->info.rows() &&
                        name.find("c_proj") == std::string::npos;
  update.orientation =
      straight ? reference::Orientation::kStraight : reference::Orientation::kTransposed;
  if (const auto e = tensors.find("lora_E"); e != tensors.end()) {
    const std::vector<double> diagonal = Whole(adapter.weights(), *e->second.entry);
    for (size_t i = 0; i < update.a.size(); ++i) {
      update.a[i] *= diagonal[i / (update.a.size() / diagonal.size())];
    }
  }
  return reference::TermSizes(info.rows(), info.row_elements(), update);
}

// The kinds that rotate or scale a weight are compared by the size of the result alone: PEFT works
// out a rotation in float32.
constexpr double kRotationTolerance = 2e-6;

void CheckCase(const std::string& name) {
  INFO("case ", name);
  const std::filesystem::path folder = TestData("adapters") / name;
  const std::filesystem::path base_folder = TestData("adapters") / FirstLine(folder / "base.txt");
  const auto merged = Merge(base_folder, folder);
  REQUIRE_MESSAGE(merged.ok(), merged.status().message());
  const auto base = Checkpoint::Open(base_folder);
  const auto expected = OpenWeightFile(folder / "merged.safetensors");
  const auto adapter = AdapterFile::Open(folder, AllAdapterKinds());
  REQUIRE(base.ok());
  REQUIRE(expected.ok());
  REQUIRE(adapter.ok());
  const AdapterReport& report = (*merged)->report().adapters[0];
  CHECK(report.modules_merged == report.modules_expected);
  CHECK(report.modules_merged > 0);

  const NewerNames newer((*base)->tensors());
  // PEFT changes both sides of a tie; graft the side that was trained. The other keeps the base's
  // values.
  const bool tied = name.ends_with("_tied");
  const std::string untouched_side =
      name == "embedding_tied" ? "lm_head.weight" : "model.embed_tokens.weight";
  CHECK((*merged)->unties_embeddings() == tied);
  std::set<std::string> seen;
  for (const TensorInfo& info : (*merged)->tensors()) {
    INFO(info.name);
    const std::vector<double> values = ReadAll(**merged, info.name, 5);
    const TensorInfo* before = (*base)->Find(info.name);
    const std::vector<double> original =
        ReadAll(**base, before != nullptr ? info.name : std::string("model.embed_tokens.weight"));
    const std::string newer_name = newer.Of(info.name);
    const WeightFile::Entry* reference =
        tied && info.name == untouched_side ? nullptr : (*expected)->Find(newer_name);
    seen.insert(newer_name);
    if (reference == nullptr) {
      CHECK(values == original);
      continue;
    }
    REQUIRE(reference->info.shape == info.shape);
    const std::vector<double> wanted = Whole(**expected, *reference);
    const TensorReport* done = (*merged)->ReportOf(info.name);
    REQUIRE(done != nullptr);
    const std::vector<double> terms = SizesOfTerms(**adapter, newer, info, done->scale);
    const bool rotated = report.kind == "oft" || report.kind == "boft" || report.kind == "hra";
    double largest = 0;
    for (const double value : original) largest = std::max(largest, std::fabs(value));
    int outside = 0;
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double bound =
          rotated ? kRotationTolerance * largest
                  : kPeftTolerance * (std::fabs(values[i]) + std::fabs(original[i]) + terms[i]);
      const double error = std::fabs(static_cast<float>(values[i]) - wanted[i]);
      worst = std::max(worst, bound > 0 ? error / bound : error);
      outside += error > bound;
    }
    CHECK_MESSAGE(outside == 0, "worst is ", worst, " of the bound");
  }
  for (const WeightFile::Entry& entry : (*expected)->entries()) {
    CHECK_MESSAGE(seen.count(entry.info.name) == 1, entry.info.name);
  }
}

TEST_SUITE("converter/merge_fixtures") {
  TEST_CASE("merges LoRA on linear layers as PEFT does") {
    for (const char* name : {"lora_qv", "lora_all_linear", "rslora", "patterns",
                             "layers_to_transform", "mlp_100x10", "vit_qkv"}) {
      CheckCase(name);
    }
  }

  TEST_CASE("merges biases, saved modules and embeddings as PEFT does") {
    for (const char* name : {"lora_bias", "bias_all", "bias_lora_only", "modules_to_save_lm_head",
                             "modules_to_save_classifier", "embedding"}) {
      CheckCase(name);
    }
  }

  TEST_CASE("unties what was tied where one side was adapted") {
    CheckCase("embedding_tied");
    CheckCase("lm_head_tied");
  }

  TEST_CASE("merges DoRA, convolutions and GPT-2's Conv1D as PEFT does") {
    for (const char* name : {"dora", "conv2d", "conv2d_dora", "gpt2_conv1d"}) CheckCase(name);
  }

  TEST_CASE("merges every other kind as PEFT does") {
    for (const char* name : {"adalora", "loha", "loha_conv", "lokr", "lokr_both", "vera", "ia3",
                             "oft", "boft", "hra", "hra_conv", "trainable_tokens"}) {
      CheckCase(name);
    }
  }

  TEST_CASE("decides about Conv1D by the layer, not by the flag") {
    const TemporaryFolder folder;
    CopyFolder(TestData("adapters/gpt2_conv1d"), folder / "adapter");
    std::string config = ReadBytes(folder / "adapter" / "adapter_config.json");
    const size_t at = config.find("\"fan_in_fan_out\": true");
    REQUIRE(at != std::string::npos);
    config.replace(at, 22, "\"fan_in_fan_out\": false");
    WriteText(folder / "adapter" / "adapter_config.json", config);
    const auto right = Merge(TestData("adapters/base_gpt2"), TestData("adapters/gpt2_conv1d"));
    const auto wrong_flag = Merge(TestData("adapters/base_gpt2"), folder / "adapter");
    REQUIRE(right.ok());
    REQUIRE_MESSAGE(wrong_flag.ok(), wrong_flag.status().message());
    for (const TensorInfo& info : (*right)->tensors()) {
      CHECK(ReadAll(**right, info.name) == ReadAll(**wrong_flag, info.name));
    }
  }
}

}  // namespace
}  // namespace graft::converter
