// SPDX-License-Identifier: Apache-2.0
// Gemma 3n's text model.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/gemma/altup.h"
#include "converter/lower/architectures/gemma/per_layer_embedding.h"
#include "converter/lower/architectures/gemma/shared_attention.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualHeadDim = 256;
constexpr int64_t kUsualKvHeads = 2;
constexpr int64_t kUsualWindow = 512;
constexpr int64_t kUsualSharedLayers = 15;
constexpr int64_t kUsualWidthOfLayer = 256;
constexpr int64_t kUsualLaurelRank = 64;
constexpr int64_t kMaxStreams = 64;
constexpr size_t kUsualInterval = 5;       // one layer of so many has no window
constexpr size_t kUsualSparseLayers = 10;  // of models with more
constexpr double kUsualSparsity = 0.95;

struct Gemma3nConfig {
  int64_t hidden = 0, layers = 0, vocabulary = 0;
  int64_t laurel_rank = 0;
  int64_t streams = 0, active = 0;
  bool scales_active = false;
  AttentionShape attention;
  LayerRopes ropes;
  int64_t window = 0;
  std::vector<bool> slides;
  std::vector<int64_t> sources;  // as ReadSharedLayers gives them
  std::vector<int64_t> mlp_hidden;
  std::vector<double> sparsity;
  bool bias = false;
  bool tied_head = false;
  float epsilon = 0.0f;
  float logits_cap = 0.0f;
  schema::fb::ActivationKind activation{};
};

// How many standard deviations a normally distributed number is above with probability 1 - p.
double NormalQuantile(double p) {
  double low = -40.0;
  double high = 40.0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2.0;
    (0.5 * std::erfc(-middle / std::numbers::sqrt2) < p ? low : high) = middle;
  }
  return low;
}

Status ReadMlpWidths(const JsonValue& config, Gemma3nConfig* c) {
  constexpr std::string_view kKey = "intermediate_size";
  const JsonValue widths = config.Find(kKey);
  if (!widths.IsArray()) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t width, config.GetIntIn(kKey, 1, kMaxWidth));
    c->mlp_hidden.assign(static_cast<size_t>(c->layers), width);
    return OkStatus();
  }
  for (size_t i = 0; i < widths.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t width, widths.at(i).AsInt());
    if (width < 1 || width > kMaxWidth) return widths.at(i).Fail("must be 1 to 2^20");
    c->mlp_hidden.push_back(width);
  }
  if (widths.size() == static_cast<size_t>(c->layers)) return OkStatus();
  return widths.Fail("must list a width for each of the " + std::to_string(c->layers) + " layers");
}

Status ReadSparsity(const JsonValue& config, Gemma3nConfig* c) {
  const JsonValue pattern = config.Find("activation_sparsity_pattern");
  const auto layers = static_cast<size_t>(c->layers);
  if (pattern.IsNull()) {
    c->sparsity.assign(layers, 0.0);
    if (layers > kUsualSparseLayers)
      std::fill_n(c->sparsity.begin(), kUsualSparseLayers, kUsualSparsity);
    return OkStatus();
  }
  if (!pattern.IsArray() || pattern.size() != layers)
    return pattern.Fail("must list a number for each of the " + std::to_string(layers) + " layers");
  for (size_t i = 0; i < layers; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const double part, pattern.at(i).AsDouble());
    if (!(part < 1.0)) return pattern.at(i).Fail("must be below 1");
    c->sparsity.push_back(part);
  }
  return OkStatus();
}

Status ReadAttention(const JsonValue& config, Gemma3nConfig* c) {
  GRAFT_ASSIGN_OR_RETURN(c->attention,
                         ReadAttentionShape(config, c->hidden, kUsualHeadDim, kUsualKvHeads));
  c->attention.scale = 1.0f;
  GRAFT_ASSIGN_OR_RETURN(c->bias, config.GetBool("attention_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c->ropes, ReadLayerRopes(config, c->attention.head_dim));
  GRAFT_ASSIGN_OR_RETURN(c->window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, kUsualWindow));
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadSlidingLayers(config, c->layers));
  for (size_t layer = 0; layer < static_cast<size_t>(c->layers); ++layer)
    c->slides.push_back(listed ? (*listed)[layer] : (layer + 1) % kUsualInterval != 0);
  GRAFT_ASSIGN_OR_RETURN(c->sources, ReadSharedLayers(config, c->slides, kUsualSharedLayers));
  return OkStatus();
}

Result<Gemma3nConfig> ReadConfig(const JsonValue& config) {
  // Files have caps and scales of attention that Gemma 3n does not read.
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "attn_logit_softcapping", "final_logit_softcapping", "layer_types",
               "query_pre_attn_scalar", "sliding_window"}));
  Gemma3nConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.layers, config.GetIntIn("num_hidden_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.laurel_rank,
                         config.GetIntIn("laurel_rank", 1, kMaxWidth, kUsualLaurelRank));
  GRAFT_ASSIGN_OR_RETURN(c.streams, config.GetIntIn("altup_num_inputs", 1, kMaxStreams, 4));
  GRAFT_ASSIGN_OR_RETURN(c.active, config.GetIntIn("altup_active_idx", 0, c.streams - 1, 0));
  GRAFT_ASSIGN_OR_RETURN(c.scales_active, config.GetBool("altup_correct_scale", true));
  GRAFT_RETURN_IF_ERROR(ReadAttention(config, &c));
  GRAFT_RETURN_IF_ERROR(ReadMlpWidths(config, &c));
  GRAFT_RETURN_IF_ERROR(ReadSparsity(config, &c));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "rms_norm_eps", 1e-6));
  GRAFT_ASSIGN_OR_RETURN(c.logits_cap, ReadCap(config, "final_logit_softcapping", 30.0));
  GRAFT_ASSIGN_OR_RETURN(const std::string activation,
                         config.GetString("hidden_activation", "gelu_pytorch_tanh"));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ActivationFromName(activation));
  return c;
}

SharedAttention MakeAttention(const Gemma3nConfig& c, ValueId positions, GraphBuilder& g) {
  const RopeShape full = AddRope(g, "rope.full", c.ropes.full, c.attention.head_dim);
  const RopeShape sliding = AddRope(g, "rope.sliding", c.ropes.sliding, c.attention.head_dim);
  std::vector<LayerAttention> layers;
  for (size_t layer = 0; layer < c.slides.size(); ++layer) {
    LayerAttention attention = {
        .shape = c.attention, .rope = c.slides[layer] ? sliding : full, .source = c.sources[layer]};
    attention.shape.window = c.slides[layer] ? c.window : 0;
    layers.push_back(attention);
  }
  return {std::move(layers), positions, c.epsilon, c.bias};
}

// A residual of low rank beside attention.
ValueId Laurel(const Gemma3nConfig& c, const Module& m, ValueId x) {
  ValueId h = m.Linear("linear_left", x, c.laurel_rank);
  h = m.RmsNorm("post_laurel_norm", m.Linear("linear_right", h, c.hidden), c.epsilon);
  return m.graph().Add(m.Name("sum"), x, h);
}

ValueId Mlp(const Gemma3nConfig& c, const Module& m, size_t layer, ValueId x) {
  GraphBuilder& g = m.graph();
  ValueId gate = m.Linear("gate_proj", x, c.mlp_hidden[layer]);
  const ValueId up = m.Linear("up_proj", x, c.mlp_hidden[layer]);
  if (c.sparsity[layer] > 0.0) {
    gate = g.GaussianTopK(m.Name("gate_top"), gate,
                          static_cast<float>(NormalQuantile(c.sparsity[layer])));
  }
  return m.Linear("down_proj", g.GatedActivation(m.Name("act"), gate, up, c.activation), c.hidden);
}

// What the layer makes of its own stream.
ValueId Activate(const Gemma3nConfig& c, const Module& m, int64_t layer, ValueId x,
                 SharedAttention* attention) {
  GraphBuilder& g = m.graph();
  const ValueId normed = m.RmsNorm("input_layernorm", x, c.epsilon);
  const ValueId laurel = Laurel(c, m["laurel"], normed);
  ValueId h = attention->Add(m["self_attn"], layer, normed);
  h = m.RmsNorm("post_attention_layernorm", h, c.epsilon);
  h = g.Add(m.Name("attention_residual"), x, h);
  h = g.Add(m.Name("laurel_residual"), h, laurel);
  x = g.Scale(m.Name("laurel_scaled"), h, static_cast<float>(1.0 / std::numbers::sqrt2));
  h = m.RmsNorm("pre_feedforward_layernorm", x, c.epsilon);
  h = Mlp(c, m["mlp"], static_cast<size_t>(layer), h);
  h = m.RmsNorm("post_feedforward_layernorm", h, c.epsilon);
  return g.Add(m.Name("mlp_residual"), x, h);
}

std::vector<ValueId> AddLayer(const Gemma3nConfig& c, const AltUp& altup,
                              const PerLayerEmbedding& per_layer, const Module& m, int64_t layer,
                              const std::vector<ValueId>& streams, SharedAttention* attention) {
  GraphBuilder& g = m.graph();
  const Module names = m["altup"];
  const std::vector<ValueId> predicted = altup.Predict(names, streams);
  const ValueId activated =
      Activate(c, m, layer, predicted[static_cast<size_t>(c.active)], attention);
  const ValueId innovation = altup.Innovate(names, activated);
  const auto correct = [&](int64_t stream, ValueId added) {
    return altup.Correct(names, predicted, activated, innovation, stream, added);
  };
  const ValueId active = correct(c.active, {});
  std::vector<double> factors;
  if (c.scales_active) factors = g.Numbers(names.Name("correct_output_scale"), c.hidden);
  const ValueId added = per_layer.Gate(m, layer, active, c.activation, std::move(factors));
  std::vector<ValueId> corrected;
  for (int64_t stream = 0; stream < c.streams; ++stream) {
    if (stream != c.active) {
      corrected.push_back(correct(stream, stream == 0 ? ValueId{} : added));
    } else {
      corrected.push_back(stream == 0 ? active
                                      : g.Add(m.Name("per_layer_residual"), active, added));
    }
  }
  return corrected;
}

}  // namespace

// Streams of activations (AltUp), residuals of low rank (LAuReL), sparse MLPs, layers that share
// keys and values, embeddings for each layer.
// Source   Gemma Team 2025; transformers 5.12, Gemma3nTextModel.
Status LowerGemma3n(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(Gemma3nConfig c, ReadConfig(config));
  GRAFT_ASSIGN_OR_RETURN(PerLayerEmbedding per_layer,
                         PerLayerEmbedding::Read(config, c.layers, kUsualWidthOfLayer, c.epsilon));
  if (per_layer.width() == 0)
    return config.Find("hidden_size_per_layer_input").Fail("must be at least 1");
  if (task->long_context) {
    GRAFT_ASSIGN_OR_RETURN(c.ropes.full, LongRope(config, c.ropes.full));
  }
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(c.ropes.full, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const Module model = ModelModule(g, "model", "embed_tokens");
  const std::string embedding = model.Name("embed_tokens");
  const ValueId embedded =
      g.Embedding(embedding, inputs.ids, g.Matrix(embedding + ".weight", c.vocabulary, c.hidden),
                  static_cast<float>(std::sqrt(static_cast<double>(c.hidden))));
  per_layer.Add(model, inputs.ids, embedded);
  const AltUp altup(c.streams, c.active, c.epsilon);
  std::vector<ValueId> streams = altup.Begin(model, embedded);
  SharedAttention attention = MakeAttention(c, inputs.positions, g);
  const int64_t first_sharing = attention.FirstSharing();
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    if (layer == first_sharing) {
      for (ValueId& stream : streams) stream = inputs.HeadRows(g, stream);
      per_layer.SelectRows(g, inputs);
      attention.SelectRows(g, inputs);
    }
    streams = AddLayer(c, altup, per_layer, model["layers"][layer], layer, streams, &attention);
  }
  if (first_sharing == c.layers) {
    for (ValueId& stream : streams) stream = inputs.HeadRows(g, stream);
  }
  // The mean of the streams is normalized: of their sum only epsilon is another.
  const auto squared = static_cast<float>(c.streams * c.streams);
  const ValueId x = model.RmsNorm("norm", altup.End(model, streams), c.epsilon * squared);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = embedding + ".weight",
                  .vocabulary = c.vocabulary,
                  .tied = c.tied_head,
                  .soft_cap = c.logits_cap,
                  .usual_padding = 0},
                 task);
}

}  // namespace graft::converter
