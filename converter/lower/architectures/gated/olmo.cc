// SPDX-License-Identifier: Apache-2.0
// OLMo, and the models that norm the results of branches as OLMo 2 does.
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr NormNames kAfterBranches = {.before_attention = {},
                                      .after_attention = "post_attention_layernorm",
                                      .before_mlp = {},
                                      .after_mlp = "post_feedforward_layernorm"};

Result<GatedDecoder> ReadOlmo2(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.padding = 1, .epsilon = 1e-5, .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.norm_names = kAfterBranches;
  decoder.head_norms.weights = HeadNorms::Weights::kTogether;
  return decoder;
}

}  // namespace

// OLMo: Llama with LayerNorms that have no weights, and perhaps clipped queries, keys and values.
// Source   Groeneveld et al. 2024.
Status LowerOlmo(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "clip_qkv"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.padding = 1, .activation = "silu"}));
  decoder.mlp_bias = false;
  decoder.epsilon = 1e-5f;  // no setting
  decoder.norm = {.centers = true, .has_weight = false};
  if (config.Has("clip_qkv")) {
    GRAFT_ASSIGN_OR_RETURN(decoder.clip, ReadPositive(config, "clip_qkv"));
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

// OLMo 2: Llama with norms after its branches instead of before, and queries and keys normalized
// over all heads together.
// Source   OLMo Team 2024.
Status LowerOlmo2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadOlmo2(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// OLMo 2 with windows on three layers of four.
// Source   OLMo Team 2025.
Status LowerOlmo3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"attention_bias", "sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadOlmo2(config));
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 4, 4096, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// EXAONE 4: OLMo 3 with each query and key head normalized by itself. Where there are windows, only
// the layers that have one rotate.
// Source   LG AI Research 2025.
Status LowerExaone4(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config, {.kv_heads = 32, .epsilon = 1e-5, .activation = "silu"}));
  decoder.mlp_bias = decoder.qkv_bias = decoder.output_bias = false;
  decoder.norm_names = kAfterBranches;
  decoder.head_norms.weights = HeadNorms::Weights::kShared;
  const bool has_windows = config.Has("sliding_window") || !Mentions(config, "sliding_window");
  int64_t interval = 0;
  if (!config.Has("layer_types") && has_windows) {
    GRAFT_ASSIGN_OR_RETURN(interval, config.GetIntIn("sliding_window_pattern", 1, kMaxLayers, 4));
  }
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, interval, 4096, &decoder));
  if (has_windows) {
    for (const int64_t window : decoder.windows) decoder.rotates.push_back(window > 0);
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
