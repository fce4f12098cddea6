// SPDX-License-Identifier: Apache-2.0
// The T5 family: norms before each part, no positions but biases by distance, scores not scaled.
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "converter/lower/relative_positions.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

constexpr const char* kShared = "shared.weight";

struct T5Config {
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t encoder_layers = 0;
  int64_t decoder_layers = 0;
  float epsilon = 0.0f;
  ActivationKind activation{};
  bool is_gated = false;
  AttentionShape attention;
  PositionBuckets encoder_buckets, decoder_buckets;
  double head_factor = 1.0;
};

// "relu", "gated-gelu", "gated-silu".
Status ReadMlp(const JsonValue& config, T5Config* c) {
  GRAFT_ASSIGN_OR_RETURN(const std::string kind, config.GetString("feed_forward_proj", "relu"));
  const size_t dash = kind.find('-');
  std::string name = dash == std::string::npos ? kind : kind.substr(dash + 1);
  if (dash != std::string::npos && kind.substr(0, dash) != "gated")
    return config.Find("feed_forward_proj").Fail("is \"" + kind + "\"", StatusCode::kUnsupported);
  if (kind == "gated-gelu") name = "gelu_new";
  GRAFT_ASSIGN_OR_RETURN(name, config.GetString("dense_act_fn", name));
  GRAFT_ASSIGN_OR_RETURN(c->is_gated, config.GetBool("is_gated_act", dash != std::string::npos));
  const Result<ActivationKind> activation = ActivationFromName(name);
  if (!activation.ok()) {
    return config.Find("feed_forward_proj")
        .Fail(activation.status().message(), activation.status().code());
  }
  c->activation = *activation;
  return OkStatus();
}

Result<T5Config> ReadConfig(const JsonValue& config) {
  T5Config c;
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary, 32128));
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("d_model", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_hidden, config.GetIntIn("d_ff", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.encoder_layers, config.GetIntIn("num_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(c.decoder_layers,
                         config.GetIntIn("num_decoder_layers", 1, kMaxLayers, c.encoder_layers));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-6));
  GRAFT_ASSIGN_OR_RETURN(c.attention.heads, config.GetIntIn("num_heads", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(c.attention.head_dim, config.GetIntIn("d_kv", 1, kMaxHeadDim));
  c.attention.kv_heads = c.attention.heads;
  c.attention.scale = 1.0f;
  GRAFT_RETURN_IF_ERROR(ReadMlp(config, &c));
  GRAFT_ASSIGN_OR_RETURN(
      c.encoder_buckets,
      ReadPositionBuckets(config, "relative_attention_num_buckets",
                          "relative_attention_max_distance", /*both_ways=*/true));
  GRAFT_ASSIGN_OR_RETURN(
      c.decoder_buckets,
      ReadPositionBuckets(config, "relative_attention_num_buckets",
                          "relative_attention_max_distance", /*both_ways=*/false));
  // Heads of the first T5 are the embedding, and see smaller numbers; configurations of later ones
  // say that the two are not tied. UMT5's always do, mT5's never.
  GRAFT_ASSIGN_OR_RETURN(const std::string family, config.GetString("model_type"));
  GRAFT_ASSIGN_OR_RETURN(const bool tied, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(const bool scaled, config.GetBool("scale_decoder_outputs", tied));
  if (family == "umt5" || (family == "t5" && scaled))
    c.head_factor = 1.0 / std::sqrt(static_cast<double>(c.hidden));
  return c;
}

// The biases of a layer's own; of the first layer where it has none, which is T5's way.
AttentionShape WithBias(const T5Config& c, const PositionBuckets& buckets, const Module& blocks,
                        int64_t layer) {
  AttentionShape shape = c.attention;
  const auto source = [&](int64_t of) {
    return blocks[of]["layer.0.SelfAttention"].Name("relative_attention_bias.weight");
  };
  const bool own = blocks.graph().Has(source(layer));
  AddPositionBias(source(own ? layer : 0), buckets, blocks.graph(), &shape);
  return shape;
}

struct Projections {
  ValueId query, key, value;
};

Projections Project(const T5Config& c, const Module& attention, ValueId query_of, ValueId rows) {
  const int64_t width = c.attention.heads * c.attention.head_dim;
  return {attention.Linear("q", query_of, width), attention.Linear("k", rows, width),
          attention.Linear("v", rows, width)};
}

ValueId Mlp(const T5Config& c, const Module& layer, ValueId x) {
  GraphBuilder& g = layer.graph();
  ValueId h = layer.RmsNorm("layer_norm", x, c.epsilon);
  const Module mlp = layer["DenseReluDense"];
  if (c.is_gated) {
    const ValueId gate = mlp.Linear("wi_0", h, c.mlp_hidden);
    h = g.GatedActivation(mlp.Name("act"), gate, mlp.Linear("wi_1", h, c.mlp_hidden), c.activation);
  } else {
    h = g.Activation(mlp.Name("act"), mlp.Linear("wi", h, c.mlp_hidden), c.activation);
  }
  return g.Add(layer.Name("residual"), x, mlp.Linear("wo", h, c.hidden));
}

// The encoder on rows of the embedding; among all of them, or each text by itself.
ValueId Encode(const T5Config& c, ValueId x, ValueId text_ends, GraphBuilder& g) {
  const Module encoder(g, "encoder");
  for (int64_t i = 0; i < c.encoder_layers; ++i) {
    const Module layer = encoder["block"][i]["layer.0"];
    const Module attention = layer["SelfAttention"];
    const ValueId h = layer.RmsNorm("layer_norm", x, c.epsilon);
    const Projections p = Project(c, attention, h, h);
    const ValueId attended =
        g.Attention(attention.Name("attention"), p.query, p.key, p.value, text_ends,
                    WithBias(c, c.encoder_buckets, encoder["block"], i));
    x = g.Add(layer.Name("residual"), x, attention.Linear("o", attended, c.hidden));
    x = Mlp(c, encoder["block"][i]["layer.1"], x);
  }
  const std::string norm = encoder.Name("final_layer_norm.weight");
  return g.RmsNorm("last_hidden_state", x, g.Vector(norm, c.hidden), c.epsilon);
}

// The decoder on what the encoder gives, and its logits.
void Decode(const T5Config& c, ValueId encoded, GraphBuilder& g, TaskDescription* task) {
  const Module blocks(g, "decoder.block");
  const ValueId ids = g.TokenIds("decoder_input_ids");
  const ValueId positions = g.Positions();
  const ValueId output_rows = g.OutputRows();
  const std::string table = g.OwnOrShared("decoder.embed_tokens.weight", kShared);
  ValueId x = g.Embedding("decoder.shared", ids, g.Matrix(table, c.vocabulary, c.hidden));
  for (int64_t i = 0; i < c.decoder_layers; ++i) {
    const Module layer = blocks[i]["layer.0"];
    const Module own = layer["SelfAttention"];
    ValueId h = layer.RmsNorm("layer_norm", x, c.epsilon);
    Projections p = Project(c, own, h, h);
    ValueId attended = g.CachedAttention(own.Name("attention"), p.query, p.key, p.value, positions,
                                         WithBias(c, c.decoder_buckets, blocks, i));
    x = g.Add(layer.Name("residual"), x, own.Linear("o", attended, c.hidden));
    const Module crossing = blocks[i]["layer.1"];
    const Module cross = crossing["EncDecAttention"];
    h = crossing.RmsNorm("layer_norm", x, c.epsilon);
    p = Project(c, cross, h, encoded);
    attended = g.CrossAttention(cross.Name("attention"), p.query, p.key, p.value, c.attention);
    x = g.Add(crossing.Name("residual"), x, cross.Linear("o", attended, c.hidden));
    x = Mlp(c, blocks[i]["layer.2"], x);
  }
  x = g.SelectRows("last_hidden", x, output_rows);
  x = Module(g, "decoder").RmsNorm("final_layer_norm", x, c.epsilon);
  if (c.head_factor != 1.0) x = g.Scale("head_scale", x, static_cast<float>(c.head_factor));
  const char* head = g.Has("lm_head.weight") ? "lm_head.weight" : kShared;
  g.Output(g.Linear("logits", x, g.Matrix(head, c.vocabulary, c.hidden)));
  task->task = Task::kTextGeneration;
  task->target.emplace();
}

}  // namespace

// Source   Raffel et al. 2020; Shazeer 2020 for the gated MLP; Chung et al. 2023 for UMT5.
Status LowerT5(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const T5Config c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  GRAFT_ASSIGN_OR_RETURN(task->context_tokens, config.GetIntIn("n_positions", 0, kMaxContext, 0));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<std::string> names, config.GetStrings("architectures"));
  const std::string name = names.empty() ? "T5EncoderModel" : names[0];
  const std::string table = g.OwnOrShared("encoder.embed_tokens.weight", kShared);
  if (name.ends_with("ForConditionalGeneration")) {
    const ValueId source = g.SourceIds();
    const ValueId x = g.Embedding("shared", source, g.Matrix(table, c.vocabulary, c.hidden));
    Decode(c, Encode(c, x, ValueId{}, g), g, task);
    return OkStatus();
  }
  if (!name.ends_with("EncoderModel")) {
    return config.Find("architectures")
        .Fail("is " + name +
                  "; of this family this version converts T5ForConditionalGeneration and "
                  "T5EncoderModel",
              StatusCode::kUnsupported);
  }
  const ValueId ids = g.TokenIds();
  const ValueId text_ends = g.TextEnds();
  const ValueId x = g.Embedding("shared", ids, g.Matrix(table, c.vocabulary, c.hidden));
  OutputEmbeddings(Encode(c, x, text_ends, g), text_ends, g, task);
  return OkStatus();
}

}  // namespace graft::converter
