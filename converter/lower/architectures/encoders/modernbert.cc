// SPDX-License-Identifier: Apache-2.0
// ModernBERT: norms before each part, windows both ways on most layers, each kind of layer with a
// rope of its own, and a gated MLP.
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;
using schema::fb::PoolKind;

constexpr const char* kEmbeddings = "embeddings.tok_embeddings";
constexpr int64_t kUsualInterval = 3;
constexpr int64_t kUsualWindow = 128;

// Layers that attend to all rows, or those in windows.
struct LayerKind {
  AttentionShape attention;
  RopeShape rope;
};

struct ModernBertConfig {
  EncoderSizes sizes;
  int64_t vocabulary = 0;
  bool norm_bias = false, attention_bias = false, mlp_bias = false;
  LayerKind whole, windowed;
  std::vector<bool> is_windowed;  // each layer
};

// transformers 5 lists the layers; before, every n-th attended to all rows.
Result<std::vector<bool>> ReadWindowedLayers(const JsonValue& config, int64_t layers) {
  GRAFT_ASSIGN_OR_RETURN(const auto listed, ReadSlidingLayers(config, layers));
  if (listed) return *listed;
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval, config.GetIntIn("global_attn_every_n_layers", 1,
                                                                 kMaxLayers, kUsualInterval));
  std::vector<bool> windowed(static_cast<size_t>(layers));
  for (int64_t i = 0; i < layers; ++i) windowed[static_cast<size_t>(i)] = i % interval != 0;
  return windowed;
}

Result<RopeShape> ReadLayerRope(const JsonValue& config, const char* layer_type, double theta,
                                int64_t head_dim, GraphBuilder& g) {
  RopeDefaults defaults = {.by_layer_type = true};
  defaults.theta = theta;
  JsonValue parameters = config.Find("rope_parameters").Find(layer_type);
  if (config.Has("rope_scaling")) {
    GRAFT_ASSIGN_OR_RETURN(defaults.theta, ReadPositive(parameters, "rope_theta", theta));
    parameters = config.Find("rope_scaling");
  }
  GRAFT_ASSIGN_OR_RETURN(const RopeFrequencies rope,
                         ReadRopeParameters(config, parameters, head_dim, defaults));
  RopeShape shape;
  shape.inverse_frequencies =
      g.Literal(std::string(layer_type) + ".inverse_frequencies", rope.inverse);
  shape.head_dim = head_dim;
  shape.rotary_dim = 2 * static_cast<int64_t>(rope.inverse.size());
  shape.magnitude = rope.magnitude;
  shape.positions = rope.positions;
  return shape;
}

Result<ModernBertConfig> ReadConfig(const JsonValue& config, GraphBuilder& g) {
  ModernBertConfig c;
  const EncoderKeys keys = {.activation = "hidden_activation"};
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config, keys));
  GRAFT_ASSIGN_OR_RETURN(c.sizes.epsilon, ReadEpsilon(config, "norm_eps", 1e-5));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.norm_bias, config.GetBool("norm_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.attention_bias, config.GetBool("attention_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_bias, config.GetBool("mlp_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.is_windowed, ReadWindowedLayers(config, c.sizes.layers));
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("local_attention", 0, kMaxContext, kUsualWindow));
  const int64_t head_dim = c.sizes.attention.head_dim;
  if (head_dim % 2 != 0)
    return config.Find("num_attention_heads").Fail("leaves heads of an odd width");
  GRAFT_ASSIGN_OR_RETURN(const double theta, ReadPositive(config, "global_rope_theta", 160000.0));
  // Null, it is that of the other layers.
  double window_theta = theta;
  if (!Mentions(config, "local_rope_theta") || config.Has("local_rope_theta")) {
    GRAFT_ASSIGN_OR_RETURN(window_theta, ReadPositive(config, "local_rope_theta", 10000.0));
  }
  c.whole.attention = c.windowed.attention = c.sizes.attention;
  c.windowed.attention.window = window / 2 + 1;
  c.windowed.attention.both_ways = true;
  GRAFT_ASSIGN_OR_RETURN(c.whole.rope, ReadLayerRope(config, "full_attention", theta, head_dim, g));
  GRAFT_ASSIGN_OR_RETURN(c.windowed.rope,
                         ReadLayerRope(config, "sliding_attention", window_theta, head_dim, g));
  return c;
}

ValueId Attend(const ModernBertConfig& c, const LayerKind& kind, const Module& layer, ValueId x) {
  GraphBuilder& g = layer.graph();
  const int64_t width = c.sizes.hidden;
  const FusedLinear fused = {.name = "Wqkv", .out_features = 3 * width, .bias = c.attention_bias};
  const ValueId query = layer.Linear(fused, "query", x, width, {.begin = 0});
  const ValueId key = layer.Linear(fused, "key", x, width, {.begin = width});
  const ValueId value = layer.Linear(fused, "value", x, width, {.begin = 2 * width});
  const ValueId turned_query = g.Rope(layer.Name("query.rope"), query, g.positions(), kind.rope);
  const ValueId turned_key = g.Rope(layer.Name("key.rope"), key, g.positions(), kind.rope);
  const ValueId attended = g.Attention(layer.Name("attention"), turned_query, turned_key, value,
                                       g.text_ends(), kind.attention);
  return layer.Linear("Wo", attended, width, c.attention_bias);
}

ValueId Mlp(const ModernBertConfig& c, const Module& layer, ValueId x) {
  const int64_t width = c.sizes.mlp_hidden;
  const FusedLinear fused = {.name = "Wi", .out_features = 2 * width, .bias = c.mlp_bias};
  const ValueId gate = layer.Linear(fused, "gate", x, width, {.begin = 0});
  const ValueId up = layer.Linear(fused, "up", x, width, {.begin = width});
  const ValueId h = layer.graph().GatedActivation(layer.Name("act"), gate, up, c.sizes.activation);
  return layer.Linear("Wo", h, c.sizes.hidden, c.mlp_bias);
}

ValueId Encode(const ModernBertConfig& c, const Module& model) {
  GraphBuilder& g = model.graph();
  const ValueId ids = g.TokenIds();
  g.Positions();
  g.TextEnds();
  const std::string words = model.Name(kEmbeddings);
  ValueId x = g.Embedding(words, ids, g.Matrix(words + ".weight", c.vocabulary, c.sizes.hidden));
  x = model.LayerNorm("embeddings.norm", x, c.sizes.epsilon, c.norm_bias);
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    const Module layer = model["layers"][i];
    const LayerKind& kind = c.is_windowed[static_cast<size_t>(i)] ? c.windowed : c.whole;
    // The embeddings' norm is the first layer's.
    ValueId h = i == 0 ? x : layer.LayerNorm("attn_norm", x, c.sizes.epsilon, c.norm_bias);
    x = g.Add(layer.Name("attention_residual"), x, Attend(c, kind, layer["attn"], h));
    h = layer.LayerNorm("mlp_norm", x, c.sizes.epsilon, c.norm_bias);
    x = g.Add(layer.Name("mlp_residual"), x, Mlp(c, layer["mlp"], h));
  }
  const TensorId weight = g.Vector(model.Name("final_norm.weight"), c.sizes.hidden);
  const TensorId bias =
      c.norm_bias ? g.Vector(model.Name("final_norm.bias"), c.sizes.hidden) : TensorId{};
  return g.LayerNorm("last_hidden_state", x, weight, bias, c.sizes.epsilon);
}

// A dense layer, an activation and a norm, on rows of tokens or of texts.
Result<ValueId> PredictionHead(const ModernBertConfig& c, const JsonValue& config, ValueId x,
                               GraphBuilder& g) {
  GRAFT_ASSIGN_OR_RETURN(const bool bias, config.GetBool("classifier_bias", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString("classifier_activation", "gelu"));
  const Result<ActivationKind> activation = ActivationFromName(name);
  if (!activation.ok()) {
    return config.Find("classifier_activation")
        .Fail(activation.status().message(), activation.status().code());
  }
  const Module head(g, "head");
  x = head.Linear("dense", x, c.sizes.hidden, bias);
  x = g.Activation("head.act", x, *activation);
  return head.LayerNorm("norm", x, c.sizes.epsilon, c.norm_bias);
}

Result<PoolKind> ReadPooling(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(const std::string pooling, config.GetString("classifier_pooling", "cls"));
  if (pooling == "cls") return PoolKind::Row;
  if (pooling == "mean") return PoolKind::Mean;
  return config.Find("classifier_pooling")
      .Fail("is \"" + pooling + "\"; it must be cls or mean", StatusCode::kUnsupported);
}

}  // namespace

// Source   Warner et al. 2024.
Status LowerModernBert(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const ModernBertConfig c, ReadConfig(config, graph));
  GRAFT_ASSIGN_OR_RETURN(const EncoderHead head,
                         ReadEncoderHead(config, graph, "classifier.weight"));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  GRAFT_ASSIGN_OR_RETURN(task->context_tokens,
                         config.GetIntIn("max_position_embeddings", 1, kMaxContext, 8192));
  const std::string path = PathOf("model", std::string(kEmbeddings) + ".weight", graph);
  ValueId x = Encode(c, Module(graph, path));
  if (head == EncoderHead::kEmbedding) {
    OutputEmbeddings(x, graph.text_ends(), graph, task);
    return OkStatus();
  }
  const bool by_token = head == EncoderHead::kToken;
  if (!by_token) {
    GRAFT_ASSIGN_OR_RETURN(const PoolKind pooling, ReadPooling(config));
    x = graph.PoolRows("pooled", x, graph.text_ends(), pooling);
  }
  GRAFT_ASSIGN_OR_RETURN(x, PredictionHead(c, config, x, graph));
  return OutputScores(config, by_token ? Task::kTokenClassification : Task::kClassification,
                      "classifier", x, graph, task);
}

}  // namespace graft::converter
