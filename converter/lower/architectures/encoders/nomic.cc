// SPDX-License-Identifier: Apache-2.0
// Nomic BERT: BERT's order of norms, rotary positions, fused projections and a gated MLP, without
// biases.
#include <cmath>
#include <string>

#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

struct NomicConfig {
  EncoderSizes sizes;
  TextTables tables;
  bool qkv_bias = false, mlp_in_bias = false, mlp_out_bias = false;
  RopeShape rope;
  int64_t context = 0;
};

// The older configuration has GPT-2's names, and settings that only other models of its code use.
constexpr EncoderKeys kOlderKeys = {"n_embd", "n_inner", "n_layer", "n_head",
                                    "activation_function"};

Status RefuseOlderSettings(const JsonValue& config) {
  for (const char* key : {"prenorm", "use_rms_norm", "parallel_block", "causal"}) {
    GRAFT_ASSIGN_OR_RETURN(const bool set, config.GetBool(key, false));
    if (set)
      return config.Find(key).Fail("is true; this version knows false", StatusCode::kUnsupported);
  }
  for (const char* key : {"num_experts", "rotary_emb_scale_base", "rotary_scaling_factor"}) {
    const JsonValue value = config.Find(key);
    if (value.IsNull()) continue;
    GRAFT_ASSIGN_OR_RETURN(const double number, config.GetDouble(key, 0.0));
    if (number != 0.0)
      return value.Fail("is " + value.Text() + "; this version knows null",
                        StatusCode::kUnsupported);
  }
  return OkStatus();
}

// "swiglu" and "geglu" are what gates are activated by.
Result<EncoderSizes> ReadOlderSizes(const JsonValue& config) {
  EncoderSizes sizes;
  GRAFT_RETURN_IF_ERROR(RefuseOlderSettings(config));
  GRAFT_ASSIGN_OR_RETURN(sizes.hidden, config.GetIntIn(kOlderKeys.hidden, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(sizes.mlp_hidden, config.GetIntIn(kOlderKeys.mlp_hidden, 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(sizes.layers, config.GetIntIn(kOlderKeys.layers, 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(sizes.attention.heads, config.GetIntIn(kOlderKeys.heads, 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(sizes.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-12));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString(kOlderKeys.activation));
  if (name != "swiglu" && name != "geglu") {
    return config.Find(kOlderKeys.activation)
        .Fail("is \"" + name + "\"; this version knows swiglu and geglu", StatusCode::kUnsupported);
  }
  sizes.activation = name == "swiglu" ? ActivationKind::Silu : ActivationKind::Gelu;
  return sizes;
}

Result<NomicConfig> ReadConfig(const JsonValue& config, GraphBuilder& g) {
  NomicConfig c;
  const bool older = config.Has(kOlderKeys.hidden);
  if (older) {
    GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadOlderSizes(config));
  } else {
    GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config));
  }
  AttentionShape& attention = c.sizes.attention;
  if (!config.Has("head_dim") && c.sizes.hidden % attention.heads != 0)
    return config.Find(kOlderKeys.heads).Fail("does not divide the width");
  GRAFT_ASSIGN_OR_RETURN(attention.head_dim, config.GetIntIn("head_dim", 2, kMaxHeadDim,
                                                             c.sizes.hidden / attention.heads));
  attention.kv_heads = attention.heads;
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));
  GRAFT_ASSIGN_OR_RETURN(c.tables.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.tables.token_types,
                         config.GetIntIn("type_vocab_size", 0, kMaxTokenTypes, 2));
  c.tables.width = c.sizes.hidden;
  GRAFT_ASSIGN_OR_RETURN(
      c.context, config.GetIntIn(older ? "n_positions" : "max_position_embeddings", 1, kMaxContext,
                                 kUsualContext));
  GRAFT_ASSIGN_OR_RETURN(c.qkv_bias, config.GetBool("qkv_proj_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_in_bias, config.GetBool("mlp_fc1_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_out_bias, config.GetBool("mlp_fc2_bias", false));
  RopeDefaults defaults;
  defaults.theta = older ? 10000.0 : 1000.0;
  if (older) defaults.theta_key = "rotary_emb_base";
  if (older) defaults.rotated_part_key = "rotary_emb_fraction";
  GRAFT_ASSIGN_OR_RETURN(const RopeFrequencies rope,
                         ReadRope(config, attention.head_dim, defaults));
  c.rope.inverse_frequencies = g.Literal("rope.inverse_frequencies", rope.inverse);
  c.rope.head_dim = attention.head_dim;
  c.rope.rotary_dim = 2 * static_cast<int64_t>(rope.inverse.size());
  c.rope.magnitude = rope.magnitude;
  c.rope.positions = rope.positions;
  GRAFT_ASSIGN_OR_RETURN(c.rope.interleaved, config.GetBool("rotary_emb_interleaved", false));
  return c;
}

ValueId Layer(const NomicConfig& c, const Module& layer, ValueId x, const std::string& output) {
  GraphBuilder& g = layer.graph();
  const AttentionShape& shape = c.sizes.attention;
  const int64_t width = shape.heads * shape.head_dim;
  const Module attn = layer["attn"];
  const FusedLinear fused = {.name = "Wqkv", .out_features = 3 * width, .bias = c.qkv_bias};
  const ValueId query = attn.Linear(fused, "query", x, width, {.begin = 0});
  const ValueId key = attn.Linear(fused, "key", x, width, {.begin = width});
  const ValueId value = attn.Linear(fused, "value", x, width, {.begin = 2 * width});
  const ValueId turned_query = g.Rope(attn.Name("query.rope"), query, g.positions(), c.rope);
  const ValueId turned_key = g.Rope(attn.Name("key.rope"), key, g.positions(), c.rope);
  ValueId h =
      g.Attention(attn.Name("attention"), turned_query, turned_key, value, g.text_ends(), shape);
  h = attn.Linear("out_proj", h, c.sizes.hidden, c.qkv_bias);
  x = EncoderNorm(layer, "norm1", g.Add(layer.Name("attention_residual"), x, h), c.sizes.epsilon);
  const Module mlp = layer["mlp"];
  const ValueId up = mlp.Linear("fc11", x, c.sizes.mlp_hidden, c.mlp_in_bias);
  const ValueId gate = mlp.Linear("fc12", x, c.sizes.mlp_hidden, c.mlp_in_bias);
  h = g.GatedActivation(mlp.Name("act"), gate, up, c.sizes.activation);
  h = mlp.Linear("fc2", h, c.sizes.hidden, c.mlp_out_bias);
  x = g.Add(layer.Name("mlp_residual"), x, h);
  return EncoderNorm(layer, "norm2", x, c.sizes.epsilon, output);
}

// A checkpoint of transformers lies below "nomic_bert", one of the older code below "bert".
std::string FindPath(const GraphBuilder& graph) {
  for (const char* family : {"nomic_bert", "bert"}) {
    if (graph.Has(std::string(family) + ".emb_ln.weight")) return family;
  }
  return "";
}

}  // namespace

// Source   Nussbaum et al. 2024.
Status LowerNomicBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const NomicConfig c, ReadConfig(config, graph));
  const Module model(graph, FindPath(graph));
  ValueId x = EmbedTokens(c.tables, model["embeddings"]);
  x = EncoderNorm(model, "emb_ln", x, c.sizes.epsilon);
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    x = Layer(c, model["encoder.layers"][i], x, i + 1 == c.sizes.layers ? "last_hidden_state" : "");
  }
  task->context_tokens = c.context;
  const EncoderHeads heads = {.dense = model.Name("pooler.dense"),
                              .activation = ActivationKind::Tanh};
  return OutputHeads(config, heads, x, graph, task);
}

}  // namespace graft::converter
