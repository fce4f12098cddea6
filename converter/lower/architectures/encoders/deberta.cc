// SPDX-License-Identifier: Apache-2.0
// DeBERTa: BERT's layers with disentangled attention. Versions 2 and 3 are one architecture; version
// 1 has fused projections.
#include <cmath>
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/encoders/disentangled.h"
#include "converter/lower/architectures/encoders/text_encoder.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/encoder.h"
#include "converter/lower/numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

using schema::fb::ActivationKind;

constexpr int64_t kMaxKernel = 1 << 10;
constexpr EncoderLayerNames kLayer = {"attention.self.query_proj",
                                      "attention.self.key_proj",
                                      "attention.self.value_proj",
                                      "attention.output.dense",
                                      "attention.output.LayerNorm",
                                      "intermediate.dense",
                                      "output.dense",
                                      "output.LayerNorm"};

// A convolution along the text beside the first layer.
struct Convolution {
  int64_t kernel = 0;  // 0: there is none
  int64_t groups = 1;
  ActivationKind activation{};
};

struct DebertaConfig {
  EncoderSizes sizes;
  TextTables tables;
  int64_t context = 0;
  Distances distances;
  bool shares_projections = false;
  bool norms_distances = false;
  Convolution convolution;
  ActivationKind pooler_activation{};
};

Result<ActivationKind> ReadOptionalActivation(const JsonValue& config, const char* key,
                                              const char* usual) {
  if (config.Has(key)) return ReadActivation(config, key);
  return ActivationFromName(usual);
}

Result<Convolution> ReadConvolution(const JsonValue& config, int64_t hidden) {
  Convolution convolution;
  GRAFT_ASSIGN_OR_RETURN(convolution.kernel, config.GetIntIn("conv_kernel_size", 0, kMaxKernel, 0));
  if (convolution.kernel == 0) return convolution;
  if (convolution.kernel % 2 == 0)
    return config.Find("conv_kernel_size").Fail("must be odd, so that rows stay as many");
  GRAFT_ASSIGN_OR_RETURN(convolution.groups, config.GetIntIn("conv_groups", 1, hidden, 1));
  if (hidden % convolution.groups != 0)
    return config.Find("conv_groups").Fail("does not divide the width");
  GRAFT_ASSIGN_OR_RETURN(convolution.activation,
                         ReadOptionalActivation(config, "conv_act", "tanh"));
  return convolution;
}

Result<DebertaConfig> ReadConfig(const JsonValue& config) {
  DebertaConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadEncoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.sizes.epsilon, ReadEpsilon(config, "layer_norm_eps", 1e-7));
  GRAFT_ASSIGN_OR_RETURN(const int64_t width,
                         config.GetIntIn("embedding_size", 1, kMaxWidth, c.sizes.hidden));
  c.tables.width = width;
  GRAFT_ASSIGN_OR_RETURN(c.tables.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.tables.token_types,
                         config.GetIntIn("type_vocab_size", 0, kMaxTokenTypes, 0));
  GRAFT_ASSIGN_OR_RETURN(c.context,
                         config.GetIntIn("max_position_embeddings", 1, kMaxPositions, 512));
  GRAFT_ASSIGN_OR_RETURN(const bool absolute, config.GetBool("position_biased_input", true));
  c.tables.position_rows = absolute ? c.context : 0;
  c.tables.reads_positions = absolute;
  GRAFT_RETURN_IF_ERROR(RefuseDecoders(config));
  GRAFT_ASSIGN_OR_RETURN(c.distances, ReadDistances(config));
  GRAFT_ASSIGN_OR_RETURN(c.pooler_activation,
                         ReadOptionalActivation(config, "pooler_hidden_act", "gelu"));
  return c;
}

// Scores are sums of as many products as there are types, and one more.
void ScaleScores(int64_t products, AttentionShape* attention) {
  const auto terms = static_cast<double>(attention->head_dim * products);
  attention->scale = static_cast<float>(1.0 / std::sqrt(terms));
}

ValueId Embed(const DebertaConfig& c, const Module& model) {
  const Module embeddings = model["embeddings"];
  ValueId x = EmbedTokens(c.tables, embeddings);
  if (c.tables.width != c.sizes.hidden) x = embeddings.Linear("embed_proj", x, c.sizes.hidden);
  return EncoderNorm(embeddings, "LayerNorm", x, c.sizes.epsilon);
}

// norm(x + act(convolution(embedded))).
ValueId AddConvolution(const DebertaConfig& c, const Module& encoder, ValueId embedded, ValueId x,
                       const std::string& output) {
  GraphBuilder& g = encoder.graph();
  const Module conv = encoder["conv"];
  const int64_t width = c.sizes.hidden;
  const int64_t around = c.convolution.kernel / 2;
  const std::string name = conv.Name("conv");
  const ValueId windows = g.RowWindows(name + ".windows", embedded, g.text_ends(), around, around);
  const TensorId kernels =
      g.Kernels(name + ".weight",
                {.source = name + ".weight", .source_rows = width, .groups = c.convolution.groups},
                {width, width / c.convolution.groups, c.convolution.kernel}, width,
                width * c.convolution.kernel);
  ValueId h = g.Linear(name, windows, kernels, g.Vector(name + ".bias", width));
  h = g.Activation(conv.Name("act"), h, c.convolution.activation);
  x = g.Add(conv.Name("residual"), x, h);
  return EncoderNorm(conv, "LayerNorm", x, c.sizes.epsilon, output);
}

ValueId Encode(const DebertaConfig& c, const Module& model) {
  GraphBuilder& g = model.graph();
  const Module encoder = model["encoder"];
  const int64_t width = c.sizes.attention.heads * c.sizes.attention.head_dim;
  DistanceProjections projections = {"key_proj", "query_proj"};
  if (!c.shares_projections) projections = {"pos_key_proj", "pos_query_proj"};
  const ValueId embedded = Embed(c, model);
  DistanceTables tables(c.distances, encoder, c.norms_distances, c.sizes.epsilon);
  ValueId x = embedded;
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    const Module layer = encoder["layer"][i];
    EncoderSizes sizes = c.sizes;
    sizes.attention.position_tables = tables.OfLayer(layer["attention.self"], projections, width);
    const bool convolves = i == 0 && c.convolution.kernel > 0;
    const std::string output = i + 1 == c.sizes.layers ? "last_hidden_state" : "";
    x = PostNormLayer(sizes, kLayer, layer, x, g.text_ends(), convolves ? "" : output);
    if (convolves) x = AddConvolution(c, encoder, embedded, x, output);
  }
  return x;
}

// Version 1: query, key and value of a head lie together, and keys have no bias.
ValueId AttendFused(const EncoderSizes& sizes, const Module& self, ValueId x) {
  GraphBuilder& g = self.graph();
  const int64_t head_dim = sizes.attention.head_dim;
  const int64_t width = sizes.attention.heads * head_dim;
  const auto project = [&](const char* part, int64_t index, const char* bias) {
    TensorPart rows = {.source = self.Name("in_proj.weight"), .source_rows = 3 * width};
    rows.rows = {.begin = index * head_dim, .run_rows = head_dim, .run_stride = 3 * head_dim};
    const std::string name = self.Name(std::string("in_proj.") + part);
    const TensorId weight = g.Matrix(name + ".weight", std::move(rows), width, g.Width(x));
    return g.Linear(name, x, weight,
                    bias == nullptr ? TensorId{} : g.Vector(self.Name(bias), width));
  };
  const ValueId query = project("query", 0, "q_bias");
  const ValueId key = project("key", 1, nullptr);
  const ValueId value = project("value", 2, "v_bias");
  return g.Attention(self.Name("attention"), query, key, value, g.text_ends(), sizes.attention);
}

ValueId EncodeFused(const DebertaConfig& c, const Module& model) {
  const Module encoder = model["encoder"];
  const int64_t width = c.sizes.hidden;
  ValueId x = Embed(c, model);
  DistanceTables tables(c.distances, encoder, /*norm=*/false, c.sizes.epsilon);
  for (int64_t i = 0; i < c.sizes.layers; ++i) {
    const Module layer = encoder["layer"][i];
    const Module self = layer["attention.self"];
    EncoderSizes sizes = c.sizes;
    sizes.attention.position_tables =
        tables.OfLayer(self, {"pos_proj", "pos_q_proj", /*key_bias=*/false}, width);
    x = PostNormLayerAfter(sizes, kLayer, layer, x, AttendFused(sizes, self, x),
                           i + 1 == c.sizes.layers ? "last_hidden_state" : "");
  }
  return x;
}

}  // namespace

// DeBERTa v2 and v3.
// Source   He et al. 2020; He et al. 2021.
Status LowerDebertaV2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(DebertaConfig c, ReadConfig(config));
  AttentionShape& attention = c.sizes.attention;
  GRAFT_ASSIGN_OR_RETURN(attention.head_dim, config.GetIntIn("attention_head_size", 1, kMaxHeadDim,
                                                             attention.head_dim));
  ScaleScores(1 + (c.distances.to_positions ? 1 : 0) + (c.distances.from_positions ? 1 : 0),
              &attention);
  GRAFT_ASSIGN_OR_RETURN(c.shares_projections, config.GetBool("share_att_key", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string norm, config.GetString("norm_rel_ebd", "none"));
  c.norms_distances = norm.find("layer_norm") != std::string::npos;
  GRAFT_ASSIGN_OR_RETURN(c.convolution, ReadConvolution(config, c.sizes.hidden));
  task->context_tokens = c.context;
  const Module model(graph, PathOf("deberta", "embeddings.word_embeddings.weight", graph));
  return OutputHeads(config, {.dense = "pooler.dense", .activation = c.pooler_activation},
                     Encode(c, model), graph, task);
}

// DeBERTa v1.
// Source   He et al. 2020.
Status LowerDeberta(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(DebertaConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(const bool talks, config.GetBool("talking_head", false));
  if (talks) {
    return config.Find("talking_head")
        .Fail("is true; this version knows false", StatusCode::kUnsupported);
  }
  c.distances.buckets = 0;
  c.distances.span = c.distances.farthest;
  ScaleScores(1 + c.distances.types, &c.sizes.attention);
  task->context_tokens = c.context;
  const Module model(graph, PathOf("deberta", "embeddings.word_embeddings.weight", graph));
  return OutputHeads(config, {.dense = "pooler.dense", .activation = c.pooler_activation},
                     EncodeFused(c, model), graph, task);
}

}  // namespace graft::converter
