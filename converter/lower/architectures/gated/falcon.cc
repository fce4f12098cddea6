// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/alibi.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

// Which heads there are, and how their rows lie.
Status ReadHeads(const JsonValue& config, bool newer, GatedDecoder* d) {
  GRAFT_ASSIGN_OR_RETURN(const bool multi_query, config.GetBool("multi_query", true));
  if (newer) {
    GRAFT_ASSIGN_OR_RETURN(d->attention.kv_heads,
                           config.GetIntIn("num_kv_heads", 1, kMaxHeads, d->attention.heads));
    if (d->attention.heads % d->attention.kv_heads != 0)
      return config.Find("num_kv_heads").Fail("does not divide num_attention_heads");
  } else {
    d->attention.kv_heads = multi_query ? 1 : d->attention.heads;
  }
  d->fused = newer || !multi_query ? ByHeads("query_key_value", d->attention)
                                   : ByParts("query_key_value", d->attention);
  return OkStatus();
}

// Which norms there are, and whether attention and MLP lie beside each other.
Status ReadNorms(const JsonValue& config, bool newer, GatedDecoder* d) {
  GRAFT_ASSIGN_OR_RETURN(d->parallel, config.GetBool("parallel_attn", true));
  if (newer && !d->parallel) {
    return config.Find("parallel_attn")
        .Fail("is false, which the new decoder architecture does not have",
              StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t norms,
                         config.GetIntIn("num_ln_in_parallel_attn", 1, 2, newer ? 2 : 1));
  if (d->parallel && norms == 2 && !newer) {
    return config.Find("num_ln_in_parallel_attn")
        .Fail("is 2, which only the new decoder architecture has", StatusCode::kUnsupported);
  }
  if (d->parallel) d->norm_names.before_mlp = {};
  if (d->parallel && norms == 2) {
    d->norm_names.before_attention = "ln_attn";
    d->norm_names.before_mlp = "ln_mlp";
  }
  return OkStatus();
}

}  // namespace

// Falcon: heads that share one key and value or are in groups, attention and MLP beside each other
// or not, rope or ALiBi.
// Source   Almazrouei et al. 2023.
Status LowerFalcon(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"alibi", "multi_query", "parallel_attn"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder d,
                         ReadGatedDecoder(config, {.tied = true,
                                                   .mlp_key = "ffn_hidden_size",
                                                   .epsilon_key = "layer_norm_epsilon",
                                                   .epsilon = 1e-5,
                                                   .activation_key = "activation",
                                                   .activation = "gelu"}));
  GRAFT_ASSIGN_OR_RETURN(const bool newer, config.GetBool("new_decoder_architecture", false));
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("bias", false));
  GRAFT_ASSIGN_OR_RETURN(const bool alibi, config.GetBool("alibi", false));
  d.qkv_bias = d.output_bias = d.mlp_bias = bias;
  d.norm = {.centers = true, .bias = true};
  d.norm_names.last = "ln_f";
  d.names = {.model = "transformer",
             .embedding = "word_embeddings",
             .layers = "h",
             .attention = "self_attention",
             .attention_output = "dense"};
  d.mlp = {.gated = false, .up = "dense_h_to_4h", .down = "dense_4h_to_h"};
  GRAFT_RETURN_IF_ERROR(ReadHeads(config, newer, &d));
  GRAFT_RETURN_IF_ERROR(ReadNorms(config, newer, &d));
  if (alibi) {
    // Biases are bf16, and divided as the scores are.
    d.rope.reset();
    d.alibi_slopes = AlibiSlopes(d.attention.heads);
    for (float& slope : d.alibi_slopes) slope = RoundToBFloat16(slope);
    d.alibi_rounded = true;
    d.alibi_scale = d.attention.scale;
  }
  return LowerGatedDecoder(d, config, graph, task);
}

}  // namespace graft::converter
