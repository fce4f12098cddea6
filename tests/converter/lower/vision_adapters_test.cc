// SPDX-License-Identifier: Apache-2.0
// Adapters of models of images, under the names that PEFT gives their layers, older and newer: the
// file is that of a base that was changed by the formula. Linear layers, convolutions, and a head
// that was trained whole.
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "converter/adapter/names/newer_names.h"
#include "converter/checkpoint/checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr int64_t kRank = 2;

// Layers and kernels; those of one channel by itself aside, which PEFT adapts in another way.
bool IsTarget(const TensorInfo& info) {
  const std::string& name = info.name;
  if (!name.ends_with(".weight") || Contains(name, "norm") || Contains(name, "position") ||
      Contains(name, "embed_tokens") || Contains(name, "lm_head") || Contains(name, "ln_pre"))
    return false;
  if (Contains(name, "pos_embed") || Contains(name, "conv1d")) return false;
  if (info.shape.size() >= 4) return info.shape[1] > 1;
  return info.shape.size() == 2 && name != "classifier.weight" && name != "classifier.1.weight";
}

struct Changed {
  SmallTensors factors, base;
  size_t linears = 0, convolutions = 0;
};

void Adapt(const TensorInfo& info, const std::string& module, uint32_t seed, SmallTensor* tensor,
           Changed* changed) {
  const int64_t width = static_cast<int64_t>(tensor->values.size()) / info.shape[0];
  SmallTensor a = RandomTensor({kRank, width}, seed);
  SmallTensor b = RandomTensor({info.shape[0], kRank}, seed + 1);
  for (int64_t row = 0; row < info.shape[0]; ++row) {
    for (int64_t column = 0; column < width; ++column) {
      for (int64_t k = 0; k < kRank; ++k) {
        tensor->values[static_cast<size_t>(row * width + column)] +=
            b.values[static_cast<size_t>(row * kRank + k)] *
            a.values[static_cast<size_t>(k * width + column)];
      }
    }
  }
  if (info.shape.size() >= 4) {
    a.shape = info.shape;
    a.shape[0] = kRank;
    b.shape.assign(info.shape.size(), 1);
    b.shape[0] = info.shape[0];
    b.shape[1] = kRank;
    ++changed->convolutions;
  } else {
    ++changed->linears;
  }
  changed->factors[Key(module + ".lora_A.weight")] = std::move(a);
  changed->factors[Key(module + ".lora_B.weight")] = std::move(b);
}

Changed AdaptAll(const std::filesystem::path& folder, bool newer_names) {
  const auto checkpoint = Checkpoint::Open(folder / "model.safetensors");
  REQUIRE(checkpoint.ok());
  const NewerNames newer((*checkpoint)->tensors());
  Changed changed;
  uint32_t seed = 1;
  for (const TensorInfo& info : (*checkpoint)->tensors()) {
    if (!IsFloat(info.dtype)) continue;
    SmallTensor tensor = {info.shape, ReadAll(**checkpoint, info.name), DType::kFloat64};
    const std::string name = newer_names ? newer.Of(info.name) : info.name;
    if (IsTarget(info)) {
      Adapt(info, name.substr(0, name.size() - 7), seed, &tensor, &changed);
      seed += 2;
    } else if (info.name.starts_with("classifier.")) {
      tensor = RandomTensor(info.shape, seed++);
      changed.factors[Key(info.name)] = tensor;
    }
    changed.base[info.name] = tensor;
  }
  return changed;
}

// A LoRA on all targets, and a new head, give what the formula gives.
void CheckAdapter(const std::string& name, bool newer_names, size_t convolutions,
                  const std::string& of = "vision/") {
  CAPTURE(name);
  const TemporaryFolder folder;
  const std::filesystem::path base = TestData(of + name);
  const Changed changed = AdaptAll(base, newer_names);
  CHECK(changed.convolutions == convolutions);
  std::string targets = R"("r": 2, "lora_alpha": 2, "target_modules": ".*")";
  const bool has_head = changed.base.contains("classifier.weight");
  if (has_head) targets += R"(, "modules_to_save": ["classifier"])";
  WriteAdapter(folder / "adapter", "LORA", targets, changed.factors);
  EditedModel merged(of + name);
  WriteTensors(merged.path() / "model.safetensors", changed.base);
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

TEST_SUITE("converter/vision_adapters") {
  TEST_CASE("a LoRA on layers and kernels, and a head of its own, give what the formula gives") {
    CheckAdapter("beit", false, 1);
    CheckAdapter("clip_vision", false, 1);
    CheckAdapter("convnext", false, 2);
    CheckAdapter("dinov2", false, 1);
    CheckAdapter("dinov3_vit", false, 1);
    CheckAdapter("resnet_basic", false, 7);
    CheckAdapter("segformer", false, 9);
    CheckAdapter("siglip_vision", false, 1);
    CheckAdapter("swin", false, 1);
  }

  TEST_CASE("so they do on all layers of models that see in their texts") {
    CheckAdapter("gemma3", false, 1, "pictures/");
    CheckAdapter("gemma3", true, 1, "pictures/");
    CheckAdapter("mistral3", false, 1, "pictures/");
    CheckAdapter("smolvlm", false, 1, "pictures/");
    CheckAdapter("qwen3_5", false, 1, "pictures/");
  }

  TEST_CASE("and so they do under the newer names of transformers") {
    CheckAdapter("beit", true, 1);
    CheckAdapter("dinov3_vit", true, 1);
    CheckAdapter("segformer", true, 9);
    CheckAdapter("swin", true, 1);
  }
}

}  // namespace
}  // namespace graft::converter
