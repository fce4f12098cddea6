// SPDX-License-Identifier: Apache-2.0
// Models that rotate as Llama does, and norm with LayerNorm.
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

// All heads of queries share one norm, and all of keys another, if `qk_layernorm` says so.
// normalizes: what it says if the file does not.
Status ReadHeadNorms(const JsonValue& config, bool normalizes, GatedDecoder* decoder) {
  GRAFT_ASSIGN_OR_RETURN(normalizes, config.GetBool("qk_layernorm", normalizes));
  if (!normalizes) return OkStatus();
  decoder->head_norms = {.weights = HeadNorms::Weights::kShared,
                         .design = decoder->norm,
                         .query = "q_layernorm",
                         .key = "k_layernorm"};
  return OkStatus();
}

}  // namespace

// Phi 1 to 2: attention and MLP beside each other behind one norm, biases everywhere, half of each
// head rotates.
// Source   Gunasekar et al. 2023.
Status LowerPhi(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"qk_layernorm"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.rope = {.rotated_part = 0.5},
                                                   .epsilon_key = "layer_norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "gelu_new"}));
  decoder.qkv_bias = decoder.output_bias = decoder.mlp_bias = decoder.head_bias = true;
  decoder.norm = {.centers = true, .bias = true};
  decoder.norm_names.before_mlp = {};
  decoder.norm_names.last = "final_layernorm";
  decoder.names.attention_output = "dense";
  decoder.parallel = true;
  decoder.mlp = {.gated = false, .up = "fc1", .down = "fc2"};
  GRAFT_RETURN_IF_ERROR(ReadHeadNorms(config, /*normalizes=*/false, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Persimmon and Fuyu's text: query, key and value of a head next to each other in one matrix, heads
// normalized, half of each rotates.
// Source   the Persimmon 8B release, 2023.
Status LowerPersimmon(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"qk_layernorm"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.rope = {.rotated_part = 0.5},
                                                   .epsilon_key = "layer_norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "relu2"}));
  if (decoder.attention.kv_heads != decoder.attention.heads)
    return config.Find("num_key_value_heads").Fail("must equal num_attention_heads");
  decoder.qkv_bias = decoder.output_bias = decoder.mlp_bias = true;
  decoder.norm = {.centers = true, .bias = true};
  decoder.norm_names.last = "final_layernorm";
  decoder.names.attention_output = "dense";
  decoder.fused = ByHeads("query_key_value", decoder.attention);
  decoder.mlp = {.gated = false, .up = "dense_h_to_4h", .down = "dense_4h_to_h"};
  GRAFT_RETURN_IF_ERROR(ReadHeadNorms(config, /*normalizes=*/true, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// StableLM: a quarter of each head rotates; heads may be normalized, each by a norm of its own.
// Source   Bellagente et al. 2024.
Status LowerStableLm(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"use_qkv_bias", "qk_layernorm", "use_parallel_residual"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.kv_heads = 32,
                                                   .rope = {.rotated_part = 0.25},
                                                   .epsilon_key = "layer_norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "silu"}));
  decoder.output_bias = decoder.mlp_bias = false;
  decoder.norm = {.centers = true, .bias = true};
  GRAFT_ASSIGN_OR_RETURN(decoder.qkv_bias, config.GetBool("use_qkv_bias", false));
  GRAFT_ASSIGN_OR_RETURN(decoder.parallel, config.GetBool("use_parallel_residual", false));
  if (decoder.parallel) decoder.norm_names.before_mlp = {};
  GRAFT_ASSIGN_OR_RETURN(const bool normalizes, config.GetBool("qk_layernorm", false));
  if (normalizes) {
    decoder.head_norms = {.weights = HeadNorms::Weights::kModules,
                          .design = {.centers = true},
                          .query = "q_layernorm",
                          .key = "k_layernorm"};
  }
  return LowerGatedDecoder(decoder, config, graph, task);
}

// StarCoder 2: biases everywhere, and a window if there is one.
// Source   Lozhkov et al. 2024.
Status LowerStarcoder2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"sliding_window"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.tied = true,
                                                   .kv_heads = 2,
                                                   .epsilon_key = "norm_epsilon",
                                                   .epsilon = 1e-5,
                                                   .activation = "gelu_pytorch_tanh"}));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("use_bias", true));
  decoder.qkv_bias = decoder.output_bias = decoder.mlp_bias = bias;
  decoder.norm = {.centers = true, .bias = true};
  decoder.mlp = {.gated = false, .up = "c_fc", .down = "c_proj"};
  GRAFT_RETURN_IF_ERROR(ReadWindows(config, 0, 0, &decoder));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// Nemotron: norms multiply by 1 + w; half of each head rotates; no gate, ReLU squared.
// Source   Parmar et al. 2024.
Status LowerNemotron(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "mlp_bias"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.rope = {.rotated_part = 0.5},
                                                   .epsilon_key = "norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "relu2"}));
  decoder.norm = {.centers = true, .bias = true, .offset = 1.0};
  decoder.mlp.gated = false;
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
