// SPDX-License-Identifier: Apache-2.0
// The respellings: ViT and its kin ("encoder.layer.0.attention.attention.query" is now
// "layers.0.attention.q_proj"), Swin, SegFormer and DINOv3, Nomic BERT, the head of GPT-NeoX, the
// routers of Mixtral and Phi-3.5-MoE, and the normalization parameters of the oldest BERT
// checkpoints.
#include "converter/adapter/names/newer_names.h"

#include <algorithm>

namespace graft::converter {
namespace {

struct Respelling {
  std::string_view older;
  std::string_view newer;
};

// Applied in order, each to the first place it fits.
constexpr Respelling kVisionTransformer[] = {
    {"encoder.layer.", "layers."},
    {"attention.attention.query", "attention.q_proj"},
    {"attention.attention.key", "attention.k_proj"},
    {"attention.attention.value", "attention.v_proj"},
    {"attention.output.dense", "attention.o_proj"},
    {"intermediate.dense", "mlp.fc1"},
    {"output.dense", "mlp.fc2"},
};

constexpr Respelling kNomicBert[] = {
    {"encoder.layers.", "layers."},
    {"emb_ln.", "embeddings.LayerNorm."},
    {"attn.out_proj", "self_attn.o_proj"},
    {"fc11", "up_proj"},
    {"fc12", "gate_proj"},
    {"fc2", "down_proj"},
    {"norm1.", "post_attention_layernorm."},
    {"norm2.", "post_mlp_layernorm."},
};

constexpr Respelling kSwin[] = {
    {"attention.self.query", "attention.q_proj"},
    {"attention.self.key", "attention.k_proj"},
    {"attention.self.value", "attention.v_proj"},
    {"attention.self.relative_position_bias_table",
     "attention.relative_position_bias.relative_position_bias_table"},
    {"attention.output.dense", "attention.o_proj"},
    {"intermediate.dense", "mlp.fc1"},
    {"output.dense", "mlp.fc2"},
};

constexpr Respelling kSegformer[] = {
    {"attention.self.query", "attention.q_proj"},
    {"attention.self.key", "attention.k_proj"},
    {"attention.self.value", "attention.v_proj"},
    {"attention.self.sr", "attention.sequence_reduction.sequence_reduction"},
    {"attention.self.layer_norm", "attention.sequence_reduction.layer_norm"},
    {"attention.output.dense", "attention.o_proj"},
    {"mlp.dense1", "mlp.fc1"},
    {"mlp.dense2", "mlp.fc2"},
    {"layer_norm_1", "layernorm_before"},
    {"layer_norm_2", "layernorm_after"},
    {"decode_head.linear_c", "decode_head.linear_projections"},
};

// What a stage has lies together: "encoder.block.2." is "stages.2.blocks.".
constexpr Respelling kSegformerStages[] = {
    {"encoder.patch_embeddings.", ".patch_embeddings"},
    {"encoder.block.", ".blocks"},
    {"encoder.layer_norm.", ".layer_norm"},
};

void RespellStage(std::string* text, const Respelling& spelling) {
  const size_t at = text->find(spelling.older);
  if (at == std::string::npos) return;
  const size_t number = at + spelling.older.size();
  size_t end = number;
  while (end < text->size() && (*text)[end] >= '0' && (*text)[end] <= '9') ++end;
  if (end == number) return;
  *text = text->substr(0, at) + "stages." + text->substr(number, end - number) +
          std::string(spelling.newer) + text->substr(end);
}

void Replace(std::string* text, const Respelling& spelling) {
  const size_t at = text->find(spelling.older);
  if (at != std::string::npos) text->replace(at, spelling.older.size(), spelling.newer);
}

void ReplaceEnding(std::string* text, const Respelling& spelling) {
  if (!text->ends_with(spelling.older)) return;
  text->replace(text->size() - spelling.older.size(), spelling.older.size(), spelling.newer);
}

}  // namespace

NewerNames::NewerNames(std::span<const TensorInfo> base) {
  vision_transformer_ = std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
    return info.name.find("encoder.layer.") != std::string::npos &&
           info.name.find("attention.attention.query") != std::string::npos;
  });
  nomic_bert_ = std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
    return info.name.find("encoder.layers.") != std::string::npos &&
           info.name.ends_with("mlp.fc11.weight");
  });
  const auto has = [&](std::string_view part) {
    return std::any_of(base.begin(), base.end(), [&](const TensorInfo& info) {
      return info.name.find(part) != std::string::npos;
    });
  };
  swin_ = has("attention.self.relative_position_bias_table");
  segformer_ = has("encoder.patch_embeddings.0.proj.weight");
  dinov3_ = std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
    return info.name.starts_with("layer.0.attention.q_proj");
  });
  gpt_neox_ = std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
    return info.name.find("gpt_neox.") != std::string::npos;
  });
  mixtral_ = std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
    return info.name.find("block_sparse_moe.experts.") != std::string::npos;
  });
  // The one of them that centers its norms.
  phimoe_ = mixtral_ && std::any_of(base.begin(), base.end(), [](const TensorInfo& info) {
              return info.name.ends_with("input_layernorm.bias");
            });
}

std::string NewerNames::Of(std::string_view name) const {
  std::string text(name);
  if (vision_transformer_ && text.find("encoder.layer.") != std::string::npos) {
    for (const Respelling& spelling : kVisionTransformer) Replace(&text, spelling);
  }
  if (mixtral_) Replace(&text, {"block_sparse_moe.gate.", phimoe_ ? "mlp.router." : "mlp.gate."});
  if (nomic_bert_) {
    for (const Respelling& spelling : kNomicBert) Replace(&text, spelling);
  }
  if (swin_) {
    for (const Respelling& spelling : kSwin) Replace(&text, spelling);
  }
  if (segformer_) {
    for (const Respelling& spelling : kSegformerStages) RespellStage(&text, spelling);
    for (const Respelling& spelling : kSegformer) Replace(&text, spelling);
  }
  if (dinov3_ && text.starts_with("layer.")) text.insert(0, "model.");
  if (gpt_neox_ && text == "embed_out.weight") text = "lm_head.weight";
  ReplaceEnding(&text, {"LayerNorm.gamma", "LayerNorm.weight"});
  ReplaceEnding(&text, {"LayerNorm.beta", "LayerNorm.bias"});
  return text;
}

}  // namespace graft::converter
