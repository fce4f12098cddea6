// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

Result<GatedDecoder> ReadGlm(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.head_dim = 128,
                                                   .kv_heads = 2,
                                                   .rope = {.rotated_part = 0.5},
                                                   .padding = 151329,
                                                   .epsilon = 1.5625e-7,
                                                   .activation = "silu"}));
  GRAFT_ASSIGN_OR_RETURN(decoder.qkv_bias, config.GetBool("attention_bias", true));
  decoder.output_bias = false;
  decoder.interleaved = true;
  decoder.mlp.fused = "gate_up_proj";
  return decoder;
}

}  // namespace

// GLM: half of each head turns, by neighbours; gate and up lie in one matrix.
// Source   GLM Team 2024.
Status LowerGlm(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGlm(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// GLM with norms of what each branch gives, too.
// Source   the GLM-4-0414 release, 2025.
Status LowerGlm4(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGlm(config));
  decoder.norm_names.after_attention = "post_self_attn_layernorm";
  decoder.norm_names.after_mlp = "post_mlp_layernorm";
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
