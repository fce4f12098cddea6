// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {

// GPT-NeoX and Pythia: attention and MLP beside each other, a quarter of each head rotated, query,
// key and value of a head next to each other in one matrix.
// Source   Black et al. 2022; Biderman et al. 2023.
Status LowerGptNeoX(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "use_parallel_residual"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder,
                         ReadGatedDecoder(config, {.rope = {.theta_key = "rotary_emb_base",
                                                            .rotated_part_key = "rotary_pct",
                                                            .rotated_part = 0.25},
                                                   .epsilon_key = "layer_norm_eps",
                                                   .epsilon = 1e-5,
                                                   .activation = "gelu"}));
  if (decoder.attention.kv_heads != decoder.attention.heads)
    return config.Find("num_key_value_heads").Fail("must equal num_attention_heads");
  decoder.fused = ByHeads("query_key_value", decoder.attention);
  GRAFT_ASSIGN_OR_RETURN(decoder.qkv_bias, config.GetBool("attention_bias", true));
  decoder.output_bias = decoder.qkv_bias;
  decoder.mlp_bias = true;
  GRAFT_ASSIGN_OR_RETURN(decoder.parallel, config.GetBool("use_parallel_residual", true));
  decoder.norm = {.centers = true, .bias = true};
  decoder.norm_names.last = "final_layer_norm";
  decoder.names = {.model = "gpt_neox",
                   .embedding = "embed_in",
                   .attention = "attention",
                   .attention_output = "dense",
                   .head = "embed_out"};
  decoder.mlp = {.gated = false, .up = "dense_h_to_4h", .down = "dense_4h_to_h"};
  return LowerGatedDecoder(decoder, config, graph, task);
}

}  // namespace graft::converter
