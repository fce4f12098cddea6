// SPDX-License-Identifier: Apache-2.0
// Models that are Llama but for a setting or two.
#include <cmath>

#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// Llama whose MLP has no gate, and squares what ReLU leaves.
// Source   Atkins et al. 2025.
Status LowerArcee(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "mlp_bias"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.epsilon = 1e-5, .activation = "relu2"}));
  decoder.mlp.gated = false;
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Mistral with windows on the layers that are listed.
// Source   the Ministral 8B release, 2024.
Status LowerMinistral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window", "layer_types"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.kv_heads = 8, .activation = "silu"}));
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 4096, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Mistral whose queries grow with their position, as those of Llama 4 do.
// Source   the Ministral 3 release, 2025.
Status LowerMinistral3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(
          config,
          {.head_dim = 128, .kv_heads = 8, .padding = 11, .epsilon = 1e-5, .activation = "silu"}));
  const JsonValue parameters = config.Find("rope_parameters");
  GRAFT_ASSIGN_OR_RETURN(decoder.query_growth, parameters.GetDouble("llama_4_scaling_beta"));
  GRAFT_ASSIGN_OR_RETURN(decoder.query_growth_positions,
                         parameters.GetIntIn("original_max_position_embeddings", 1, kMaxContext));
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 0, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama with biases on query, key and value, and a bias of its own setting behind attention.
// Source   the Seed-OSS release, 2025.
Status LowerSeedOss(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "mlp_bias"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(config,
                       {.head_dim = 128, .kv_heads = 8, .padding = 1, .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(decoder.qkv_bias, config.GetBool("attention_bias", true));
  GRAFT_ASSIGN_OR_RETURN(decoder.output_bias, config.GetBool("attention_out_bias", false));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama whose heads turn by neighbours, with one setting for all biases.
// Source   the ERNIE 4.5 report, 2025.
Status LowerErnie45(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, {.tied = true,
                                                                         .head_dim = 128,
                                                                         .kv_heads = 2,
                                                                         .rope = {.theta = 5e5},
                                                                         .padding = 0,
                                                                         .epsilon = 1e-5,
                                                                         .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("use_bias", false));
  decoder.qkv_bias = decoder.output_bias = decoder.mlp_bias = bias;
  decoder.interleaved = true;
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama whose query and key heads are normalized after they turned.
// Source   the Hunyuan dense release, 2025.
Status LowerHunyuan(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "use_qk_norm"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.rope = {.alpha_grows_theta = true},
                                                   .padding = 0,
                                                   .epsilon = 1e-5,
                                                   .activation = "silu"}));
  decoder.head_norms = {.weights = HeadNorms::Weights::kShared,
                        .query = "query_layernorm",
                        .key = "key_layernorm",
                        .after_rope = true};
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama whose heads turn by neighbours, without a bias behind attention.
// Source   the Helium 1 release, 2025.
Status LowerHelium(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "mlp_bias"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGatedDecoder(config, {.head_dim = 128,
                                                                         .kv_heads = 20,
                                                                         .rope = {.theta = 1e5},
                                                                         .padding = 3,
                                                                         .epsilon = 1e-8,
                                                                         .activation = "silu"}));
  decoder.output_bias = false;
  decoder.interleaved = true;
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama with norms of what attention and the gate give.
// Source   Ma et al. 2025.
Status LowerBitNet(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(
      GatedDecoder decoder,
      ReadGatedDecoder(
          config, {.kv_heads = 5, .rope = {.theta = 5e5}, .epsilon = 1e-5, .activation = "relu2"}));
  decoder.attention_norm = "attn_sub_norm";
  decoder.mlp.norm = "ffn_sub_norm";
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Llama whose attention is the difference of two.
// Source   Ye et al. 2024.
Status LowerDiffLlama(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.epsilon = 1e-5, .activation = "silu"}));
  if (decoder.attention.heads % 2 != 0)
    return config.Find("num_attention_heads").Fail("must be even");
  decoder.mlp_bias = false;
  decoder.differential = true;
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
