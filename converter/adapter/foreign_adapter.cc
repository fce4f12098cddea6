// SPDX-License-Identifier: Apache-2.0
// One sign in a name for each program; the first tensor that has one decides.
#include "converter/adapter/foreign_adapter.h"

#include <algorithm>
#include <string_view>

namespace graft::converter {
namespace {

struct Program {
  std::string_view within;  // in the name, and
  std::string_view ending;  // at its end
  const char* what;
};

constexpr const char* kProcessors =
    "is a LoRA of diffusers' attention processors, from before it took PEFT's form; load it there "
    "with load_lora_weights, and save it again with save_lora_weights";
constexpr const char* kTorchtune =
    "is torchtune's, under Meta's names; take the adapter_model file and the adapter_config.json "
    "that its Hugging Face checkpointer writes beside it";
constexpr const char* kLitGpt =
    "is LitGPT's, whose query, key and value are one matrix; merge it with `litgpt merge_lora`, "
    "and convert the result with `litgpt convert_from_litgpt`";
constexpr const char* kMeta =
    "is mistral-finetune's, under Meta's names, whose queries and keys lie in another order; have "
    "it save the merged model (save_adapters: false) and convert that to the form of transformers";
constexpr const char* kNemo =
    "is NeMo's or Megatron's, whose query, key and value are one matrix; export it to Hugging "
    "Face's form there";
constexpr const char* kDeepSpeed =
    "is DeepSpeed-Chat's; it merges its LoRA into the model itself "
    "(convert_lora_to_linear_layer): save that";
constexpr const char* kXLabs =
    "is XLabs' form for FLUX; load it in diffusers with load_lora_weights, and save it again with "
    "save_lora_weights";
constexpr const char* kAdapters =
    "is of the library adapters (AdapterHub); merge it there with merge_adapter and save the model";
constexpr const char* kCloneofsimo =
    "is of the first LoRA trainer for Stable Diffusion, which numbers modules instead of naming "
    "them; merge it with that program";
constexpr const char* kMlxVlm =
    "is an older mlx-vlm's, whose files do not say by how much it changes the model; load the "
    "adapter in the version that trained it and save the model merged";
constexpr const char* kLlamaCpp =
    "is under llama.cpp's names; start from the PEFT adapter it was made from";

constexpr Program kPrograms[] = {
    {"processor.", "_lora1.down.weight", kXLabs},
    {"processor.", "_lora1.up.weight", kXLabs},
    {"processor.", "_lora.down.weight", kProcessors},
    {"processor.", "_lora.up.weight", kProcessors},
    {"", ".lora.down.weight", kProcessors},
    {"", ".lora.up.weight", kProcessors},
    {"", "lora_linear_layer.down.weight", kProcessors},
    {"", "lora_linear_layer.up.weight", kProcessors},
    {"", ".lora_a.weight", kTorchtune},
    {"", ".lora_b.weight", kTorchtune},
    {"blk.", ".lora_a", kLlamaCpp},
    {"blk.", ".lora_b", kLlamaCpp},
    {".attention.w", ".lora_A.weight", kMeta},
    {".attention.w", ".lora_B.weight", kMeta},
    {".feed_forward.w", ".lora_A.weight", kMeta},
    {".feed_forward.w", ".lora_B.weight", kMeta},
    {"transformer.h.", ".qkv.lora_A", kLitGpt},
    {"transformer.h.", ".attn.attn.lora_A", kLitGpt},
    {"transformer.h.", ".proj.lora_A", kLitGpt},
    {"transformer.h.", ".qkv.lora_B", kLitGpt},
    {"transformer.h.", ".attn.attn.lora_B", kLitGpt},
    {"transformer.h.", ".proj.lora_B", kLitGpt},
    {"adapter", "linear_in.weight", kNemo},
    {"adapter", "linear_out.weight", kNemo},
    {"linear_qkv", "lora_A.weight", kNemo},
    {"linear_fc", "lora_A.weight", kNemo},
    {"linear_proj", "lora_A.weight", kNemo},
    {"", ".lora_right_weight", kDeepSpeed},
    {"", ".lora_left_weight", kDeepSpeed},
    {".loras.", ".lora_A", kAdapters},
    {".loras.", ".lora_B", kAdapters},
    {"adapters.", "adapter_down.0.weight", kAdapters},
    {":", ":down", kCloneofsimo},
    {":", ":up", kCloneofsimo},
    {".layers.", "_proj.A", kMlxVlm},
    {".layers.", "_proj.B", kMlxVlm},
};

}  // namespace

const char* WhoseAdapter(std::span<const WeightFile::Entry> entries) {
  for (const WeightFile::Entry& entry : entries) {
    const std::string_view name = entry.info.name;
    const auto* found =
        std::find_if(std::begin(kPrograms), std::end(kPrograms), [name](const Program& program) {
          return name.ends_with(program.ending) &&
                 name.find(program.within) != std::string_view::npos;
        });
    // PEFT's own names may hold the same words.
    if (found != std::end(kPrograms) && !name.starts_with("base_model.")) return found->what;
  }
  return nullptr;
}

}  // namespace graft::converter
