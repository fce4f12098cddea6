// SPDX-License-Identifier: Apache-2.0
// A LoRA on every linear layer of every family of tests/data/decoders and tests/data/encoders, under
// the names that PEFT gives them: the file is that of a base whose matrices were changed by the formula.
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr int64_t kRank = 2;

// The layers that adapters of language models are made for.
bool IsTarget(const TensorInfo& info) {
  const std::string& name = info.name;
  const bool in_layer = Contains(name, "layers.") || Contains(name, ".layer.") ||
                        Contains(name, ".h.") || Contains(name, ".blocks.");
  return in_layer && info.shape.size() == 2 && name.ends_with(".weight") &&
         !Contains(name, "vision") && !Contains(name, "visual") &&
         (!Contains(name, "norm") || Contains(name, "prelayernorm"));
}

// The name that transformers 5 has for a layer of the text of what sees, or of Nomic BERT.
std::string NewerName(std::string module) {
  constexpr std::string_view kStored = "language_model.model.";
  if (module.starts_with(kStored)) module.replace(0, kStored.size(), "model.language_model.");
  constexpr std::pair<std::string_view, std::string_view> kNomicBert[] = {
      {"encoder.layers.", "layers."}, {"attn.out_proj", "self_attn.o_proj"},
      {"mlp.fc11", "mlp.up_proj"},    {"mlp.fc12", "mlp.gate_proj"},
      {"mlp.fc2", "mlp.down_proj"},
  };
  for (const auto& [stored, newer] : kNomicBert) {
    const size_t at = module.find(stored);
    if (at != std::string::npos) module.replace(at, stored.size(), newer);
  }
  return module;
}

// The layers that transformers 5 has in place of a fused one.
std::vector<std::string> LayersOf(const std::string& module, bool newer_names) {
  const size_t at = module.find("attn.Wqkv");
  if (!newer_names || at == std::string::npos) return {module};
  const std::string attention = module.substr(0, at) + "self_attn.";
  return {attention + "q_proj", attention + "k_proj", attention + "v_proj"};
}

// Adds b a to the rows of `to` from `first` on.
void AddProduct(const SmallTensor& b, const SmallTensor& a, int64_t first, SmallTensor* to) {
  const int64_t columns = a.shape[1];
  for (int64_t row = 0; row < b.shape[0]; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      for (int64_t k = 0; k < kRank; ++k) {
        to->values[static_cast<size_t>((first + row) * columns + column)] +=
            b.values[static_cast<size_t>(row * kRank + k)] *
            a.values[static_cast<size_t>(k * columns + column)];
      }
    }
  }
}

// Writes an adapter for all targets of `base`, and into `merged` what it must give.
size_t WriteLora(const std::filesystem::path& base, const std::filesystem::path& adapter,
                 const std::filesystem::path& merged, bool newer_names = false) {
  const auto checkpoint = Checkpoint::Open(base / "model.safetensors");
  REQUIRE(checkpoint.ok());
  SmallTensors factors;
  SmallTensors changed;
  uint32_t seed = 1;
  size_t targets = 0;
  for (const TensorInfo& info : (*checkpoint)->tensors()) {
    SmallTensor tensor = {info.shape, ReadAll(**checkpoint, info.name), DType::kFloat64};
    if (IsTarget(info)) {
      std::string module = info.name.substr(0, info.name.size() - 7);
      if (newer_names) module = NewerName(std::move(module));
      const std::vector<std::string> layers = LayersOf(module, newer_names);
      const int64_t rows = info.shape[0] / static_cast<int64_t>(layers.size());
      for (size_t i = 0; i < layers.size(); ++i) {
        const SmallTensor a = RandomTensor({kRank, info.shape[1]}, seed++);
        const SmallTensor b = RandomTensor({rows, kRank}, seed++);
        AddProduct(b, a, static_cast<int64_t>(i) * rows, &tensor);
        factors[Key(layers[i] + ".lora_A.weight")] = a;
        factors[Key(layers[i] + ".lora_B.weight")] = b;
      }
      ++targets;
    }
    changed[info.name] = tensor;
  }
  // alpha is the rank, so the scale is 1.
  WriteAdapter(
      adapter, "LORA",
      R"("r": 2, "lora_alpha": 2, "target_modules": "all-linear", "task_type": "CAUSAL_LM")",
      factors);
  WriteTensors(merged / "model.safetensors", changed);
  return targets;
}

// A LoRA on all targets of a family gives what the formula gives.
void CheckLora(const std::string& name, bool newer_names) {
  CAPTURE(name);
  const TemporaryFolder folder;
  EditedModel merged(name);
  const std::filesystem::path base = TestData(name);
  CHECK(WriteLora(base, folder / "adapter", merged.path(), newer_names) >= 4);
  const Status status =
      ConvertModel({base, folder / "adapter", {}, folder / "model.graft"}).status();
  REQUIRE_MESSAGE(status.ok(), status.message());
  const LoadedModel adapted(folder / "model.graft");
  const LoadedModel expected = merged.Convert();
  REQUIRE(adapted.model().tensors()->size() == expected.model().tensors()->size());
  for (const schema::fb::Tensor* tensor : *expected.model().tensors()) {
    CAPTURE(tensor->name()->str());
    const std::string_view tensor_name = tensor->name()->string_view();
    CHECK(adapted.Floats(tensor_name) == expected.Floats(tensor_name));
  }
}

size_t CheckFamilies(const std::string& folder) {
  size_t families = 0;
  for (const std::string& name : NamesIn(TestData(folder))) {
    if (!std::filesystem::is_directory(TestData(folder + "/" + name))) continue;
    ++families;
    CheckLora(folder + "/" + name, /*newer_names=*/false);
  }
  return families;
}

}  // namespace

TEST_SUITE("converter/decoder_adapters") {
  TEST_CASE("a LoRA on every linear layer of any family gives what the formula gives") {
    CHECK(CheckFamilies("decoders") == 66);
  }

  TEST_CASE("an adapter of Nomic BERT merges under the names that transformers 5 has") {
    CheckLora("encoders/nomic", /*newer_names=*/true);
    CheckLora("encoders/nomic_scores", /*newer_names=*/true);
  }

  TEST_CASE("and of any encoder of texts") { CHECK(CheckFamilies("encoders") == 19); }

  TEST_CASE("an adapter of the text of what sees merges under the newer names, too") {
    CheckLora("decoders/gemma3_vl", /*newer_names=*/true);
    CheckLora("decoders/mistral3_vl", /*newer_names=*/true);
  }
}

}  // namespace graft::converter
