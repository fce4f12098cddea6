// SPDX-License-Identifier: Apache-2.0
// BLOOM and MPT, whose positions are told by ALiBi alone.
#include "converter/lower/architectures/alibi.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {

// BLOOM: ALiBi in the place of positions, a norm of the embedding, query, key and value of a head
// next to each other in one matrix.
// Source   BigScience Workshop 2022.
Status LowerBloom(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GatedDecoder d;
  const char* width_key = config.Has("n_embed") ? "n_embed" : "hidden_size";
  GRAFT_ASSIGN_OR_RETURN(d.sizes.hidden, config.GetIntIn(width_key, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.layers, config.GetIntIn("n_layer", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_RETURN_IF_ERROR(ReadEqualHeads(config, "n_head", &d));
  GRAFT_ASSIGN_OR_RETURN(d.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(d.adds_normed,
                         config.GetBool("apply_residual_connection_post_layernorm", false));
  GRAFT_ASSIGN_OR_RETURN(const bool slices, config.GetBool("slow_but_exact", false));
  GRAFT_ASSIGN_OR_RETURN(const int64_t ranks, config.GetInt("pretraining_tp", 1));
  if (slices && ranks > 1) {
    return config.Find("slow_but_exact")
        .Fail("is true, which leaves biases out", StatusCode::kUnsupported);
  }
  d.sizes.mlp_hidden = 4 * d.sizes.hidden;
  d.activation = schema::fb::ActivationKind::GeluTanh;
  d.qkv_bias = d.output_bias = d.mlp_bias = true;
  d.fused = ByHeads("query_key_value", d.attention);
  d.alibi_slopes = AlibiSlopes(d.attention.heads);
  d.norm = {.centers = true, .bias = true};
  d.norm_names.last = "ln_f";
  d.embedding_norm = "word_embeddings_layernorm";
  d.names = {.model = "transformer",
             .embedding = "word_embeddings",
             .layers = "h",
             .attention = "self_attention",
             .attention_output = "dense",
             .context_key = "seq_length"};
  d.mlp = {.gated = false, .up = "dense_h_to_4h", .down = "dense_4h_to_h"};
  return LowerGatedDecoder(d, config, graph, task);
}

// MPT: ALiBi, norms without biases, exact GELU. Of attn_config the scale and the clip are read, as
// transformers reads them.
// Source   the MPT-7B release, 2023.
Status LowerMpt(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"logit_scale"}));
  GatedDecoder d;
  GRAFT_ASSIGN_OR_RETURN(d.sizes.hidden, config.GetIntIn("d_model", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.layers, config.GetIntIn("n_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_RETURN_IF_ERROR(ReadEqualHeads(config, "n_heads", &d));
  GRAFT_ASSIGN_OR_RETURN(d.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", true));
  const JsonValue attention = config.Find("attn_config");
  if (attention.Has("softmax_scale")) {
    GRAFT_ASSIGN_OR_RETURN(const double scale, ReadPositive(attention, "softmax_scale"));
    d.attention.scale = static_cast<float>(scale);
  }
  GRAFT_ASSIGN_OR_RETURN(const double clip, attention.GetDouble("clip_qkv", 0.0));
  if (clip != 0.0) {
    GRAFT_ASSIGN_OR_RETURN(d.clip, ReadPositive(attention, "clip_qkv"));
  }
  d.sizes.mlp_hidden = 4 * d.sizes.hidden;
  d.activation = schema::fb::ActivationKind::Gelu;
  d.fused = ByParts("Wqkv", d.attention);
  d.alibi_slopes = MptAlibiSlopes(d.attention.heads);
  d.norm = {.centers = true};
  d.norm_names = {.before_attention = "norm_1", .before_mlp = "norm_2", .last = "norm_f"};
  d.names = {.model = "transformer",
             .embedding = "wte",
             .layers = "blocks",
             .attention = "attn",
             .attention_output = "out_proj",
             .mlp = "ffn",
             .context_key = "max_seq_len"};
  d.mlp.gated = false;
  return LowerGatedDecoder(d, config, graph, task);
}

}  // namespace graft::converter
