// SPDX-License-Identifier: Apache-2.0
// Models whose files name their sizes as GPT-2 does.
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/gated_decoder.h"
#include "converter/lower/architectures/registry.h"

namespace graft::converter {
namespace {

constexpr double kTheta = 10000.0;
// The matrices of CodeGen are cut into as many blocks, one for each core they were trained on.
constexpr int64_t kCodeGenBlocks = 4;

Result<GatedDecoder> ReadGpt(const JsonValue& config, std::string_view usual_activation) {
  GatedDecoder d;
  GRAFT_ASSIGN_OR_RETURN(d.sizes.hidden, config.GetIntIn("n_embd", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.mlp_hidden,
                         config.GetIntIn("n_inner", 1, 4 * kMaxWidth, 4 * d.sizes.hidden));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.layers, config.GetIntIn("n_layer", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(d.sizes.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_RETURN_IF_ERROR(ReadEqualHeads(config, "n_head", &d));
  GRAFT_ASSIGN_OR_RETURN(d.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  const std::string key = "activation_function";
  GRAFT_ASSIGN_OR_RETURN(d.activation, config.Has(key) ? ReadActivation(config, key)
                                                       : ActivationFromName(usual_activation));
  d.mlp_bias = true;
  d.norm = {.centers = true, .bias = true};
  d.norm_names = {.before_attention = "ln_1", .before_mlp = "ln_2", .last = "ln_f"};
  d.names = {.model = "transformer",
             .embedding = "wte",
             .layers = "h",
             .attention = "attn",
             .context_key = "n_positions"};
  return d;
}

// Attention and MLP beside each other behind one norm, heads turned by neighbours.
Result<GatedDecoder> ReadGptJ(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder d, ReadGpt(config, "gelu_new"));
  const int64_t head_dim = d.attention.head_dim;
  GRAFT_ASSIGN_OR_RETURN(const int64_t rotary_dim, config.GetIntIn("rotary_dim", 2, head_dim));
  if (rotary_dim % 2 != 0) return config.Find("rotary_dim").Fail("must be even");
  d.rope = PlainRope(kTheta, rotary_dim);
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", false));
  d.head_bias = true;
  d.interleaved = true;
  d.parallel = true;
  d.norm_names.before_mlp = {};
  d.names.attention_output = "out_proj";
  d.mlp = {.gated = false, .up = "fc_in", .down = "fc_out"};
  return d;
}

}  // namespace

// GPT-J.
// Source   Wang and Komatsuzaki 2021.
Status LowerGptJ(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const GatedDecoder decoder, ReadGptJ(config));
  return LowerGatedDecoder(decoder, config, graph, task);
}

// CodeGen: GPT-J with query, value and key in one matrix, block by block.
// Source   Nijkamp et al. 2023.
Status LowerCodeGen(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder decoder, ReadGptJ(config));
  if (decoder.attention.heads % kCodeGenBlocks != 0)
    return config.Find("n_head").Fail("must be a multiple of 4");
  const int64_t rows = decoder.sizes.hidden / kCodeGenBlocks;
  const auto part = [rows](int64_t index) {
    return RowRuns{.begin = index * rows, .run_rows = rows, .run_stride = 3 * rows};
  };
  decoder.fused = {.name = "qkv_proj", .query = part(0), .key = part(2), .value = part(1)};
  return LowerGatedDecoder(decoder, config, graph, task);
}

// StarCoder and SantaCoder: GPT-2 whose heads may all share one key and value.
// Source   Ben Allal et al. 2023.
Status LowerGptBigCode(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"multi_query", "scale_attn_weights"}));
  GRAFT_ASSIGN_OR_RETURN(GatedDecoder d, ReadGpt(config, "gelu_pytorch_tanh"));
  GRAFT_ASSIGN_OR_RETURN(const bool multi_query, config.GetBool("multi_query", true));
  GRAFT_ASSIGN_OR_RETURN(const bool scales, config.GetBool("scale_attn_weights", true));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(const int64_t context,
                         config.GetIntIn("n_positions", 1, kMaxContext, 1024));
  if (!scales) d.attention.scale = 1.0f;
  if (multi_query) d.attention.kv_heads = 1;
  d.fused = multi_query ? ByParts("c_attn", d.attention) : ByHeads("c_attn", d.attention);
  d.qkv_bias = d.output_bias = true;
  d.names.attention_output = "c_proj";
  d.mlp = {.gated = false, .up = "c_fc", .down = "c_proj"};
  d.position_table = [context, width = d.sizes.hidden](const Module& model) {
    return model.graph().Table(model.Name("wpe.weight"), context, width);
  };
  GRAFT_RETURN_IF_ERROR(LowerGatedDecoder(d, config, graph, task));
  task->context_tokens = context;
  return OkStatus();
}

}  // namespace graft::converter
