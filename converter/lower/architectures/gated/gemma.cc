// SPDX-License-Identifier: Apache-2.0
// The Gemma models: norms that multiply by 1 + w, embeddings times the root of their width.
#include <cmath>
#include <string>
#include <utility>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualHeadDim = 256;
constexpr int64_t kUsualWindow = 4096;
constexpr double kUsualScoreDivisor = 256.0;  // scores are divided by its square root
constexpr NormNames kAroundBranches = {.after_attention = "post_attention_layernorm",
                                       .before_mlp = "pre_feedforward_layernorm",
                                       .after_mlp = "post_feedforward_layernorm"};

// What all of them have.
Result<GatedDecoder> ReadGemma(const JsonValue& config, GatedDefaults defaults) {
  defaults.tied = true;
  defaults.head_dim = kUsualHeadDim;
  defaults.padding = 0;
  defaults.activation = "gelu_pytorch_tanh";
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, defaults));
  decoder.mlp_bias = false;
  decoder.norm.offset = 1.0;
  decoder.embedding_factor = std::sqrt(static_cast<double>(decoder.sizes.hidden));
  return decoder;
}

// From Gemma 2 on. `interval`: one layer of so many has no window, where the file does not list the
// layers.
Result<GatedDecoder> ReadGemma2(const JsonValue& config, int64_t interval, double usual_score_cap,
                                double usual_logits_cap, GatedDefaults defaults = {}) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "attn_logit_softcapping", "final_logit_softcapping",
               "query_pre_attn_scalar", "sliding_window", "layer_types"}));
  defaults.activation_key = "hidden_activation";
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGemma(config, defaults));
  GRAFT_ASSIGN_OR_RETURN(const double divisor,
                         ReadPositive(config, "query_pre_attn_scalar", kUsualScoreDivisor));
  decoder.attention.scale = static_cast<float>(1.0 / std::sqrt(divisor));
  GRAFT_ASSIGN_OR_RETURN(decoder.attention.soft_cap,
                         ReadCap(config, "attn_logit_softcapping", usual_score_cap));
  GRAFT_ASSIGN_OR_RETURN(decoder.logits_cap,
                         ReadCap(config, "final_logit_softcapping", usual_logits_cap));
  decoder.norm_names = kAroundBranches;
  decoder.head_norms.design = decoder.norm;
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, interval, kUsualWindow, &decoder));
  decoder.rope_in_windows = decoder.rope;
  return decoder;
}

}  // namespace

// Gemma 1: Llama but for what all of them have.
// Source   Gemma Team 2024.
Status LowerGemma(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGemma(config, {.kv_heads = 16}));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Norms before and after each branch, soft caps on scores and logits, windows on every other
// layer.
// Source   Gemma Team 2024.
Status LowerGemma2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGemma2(config, 2, 50.0, 30.0));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Gemma 2 without norms after branches.
// Source   VaultGemma Team 2025.
Status LowerVaultGemma(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGemma2(config, 2, 50.0, 30.0, {.kv_heads = 4}));
  decoder.norm_names = {.before_mlp = "pre_feedforward_layernorm"};
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Gemma 2 with normalized query and key heads instead of soft caps, windows on five layers of six,
// and a rope of a shorter base on those.
// Source   Gemma Team 2025.
Status LowerGemma3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  const char* key =
      config.Has("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern";
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval, config.GetIntIn(key, 1, kMaxLayers, 6));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGemma2(config, interval, 0.0, 0.0, {.reads_rope = false}));
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  GRAFT_ASSIGN_OR_RETURN(LayerRopes ropes, ReadLayerRopes(config, decoder.attention.head_dim));
  decoder.rope = std::move(ropes.full);
  decoder.rope_in_windows = std::move(ropes.sliding);
  decoder.attention.image_runs = task->vision.has_value();
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
