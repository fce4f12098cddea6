// SPDX-License-Identifier: Apache-2.0
// Gemma 2 and the text models of Gemma 3.
#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualHeadDim = 256;
constexpr int64_t kUsualWindow = 4096;
constexpr double kUsualScoreDivisor = 256.0;  // scores are divided by its square root
// A norm multiplies by 1 + w, where w is its stored weight.
constexpr NormWeight kOnePlus = {.factor = 1.0, .offset = 1.0};

struct GemmaConfig {
  DecoderSizes sizes;
  AttentionShape attention;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool attention_bias = false;
  bool tied_head = true;
  float logits_cap = 0.0f;        // 0: none
  bool normalizes_heads = false;  // Gemma 3
  std::vector<int64_t> windows;   // of each layer; 0: none
};

// The cap that the file gives; null switches it off, and without the key it is the usual one.
Result<float> ReadCap(const JsonValue& config, std::string_view key, double usual) {
  for (size_t i = 0; i < config.size(); ++i) {
    if (config.key(i) == key && config.at(i).IsNull()) return 0.0f;
  }
  if (usual == 0.0 && !config.Has(key)) return 0.0f;
  GRAFT_ASSIGN_OR_RETURN(const double cap, ReadPositive(config, key, usual));
  return static_cast<float>(cap);
}

// `interval`: one layer of so many has no window, where the file does not list the layers.
Result<GemmaConfig> ReadConfig(const JsonValue& config, int64_t interval, double usual_score_cap,
                               double usual_logits_cap) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(
      config, {"attention_bias", "attn_logit_softcapping", "final_logit_softcapping",
               "query_pre_attn_scalar", "sliding_window", "layer_types"}));
  GemmaConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.attention, ReadAttentionShape(config, c.sizes.hidden, kUsualHeadDim));
  GRAFT_ASSIGN_OR_RETURN(const double divisor,
                         ReadPositive(config, "query_pre_attn_scalar", kUsualScoreDivisor));
  c.attention.scale = static_cast<float>(1.0 / std::sqrt(divisor));
  GRAFT_ASSIGN_OR_RETURN(c.attention.soft_cap,
                         ReadCap(config, "attn_logit_softcapping", usual_score_cap));
  GRAFT_ASSIGN_OR_RETURN(c.logits_cap,
                         ReadCap(config, "final_logit_softcapping", usual_logits_cap));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "rms_norm_eps", 1e-6));
  c.activation = schema::fb::ActivationKind::GeluTanh;
  if (config.Has("hidden_activation")) {
    GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "hidden_activation"));
  }
  GRAFT_ASSIGN_OR_RETURN(c.attention_bias, config.GetBool("attention_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", true));
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, kUsualWindow));
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, c.sizes.layers, window));
  if (listed) {
    c.windows = std::move(*listed);
  } else {
    for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
      c.windows.push_back((layer + 1) % interval != 0 ? window : 0);
    }
  }
  return c;
}

ValueId SelfAttention(const GemmaConfig& c, const Module& m, int64_t window, ValueId x,
                      ValueId positions, const RopeShape& rope) {
  AttentionShape shape = c.attention;
  shape.window = window;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  ValueId query = m.Linear("q_proj", x, shape.heads * shape.head_dim, c.attention_bias);
  ValueId key = m.Linear("k_proj", x, kv_width, c.attention_bias);
  const ValueId value = m.Linear("v_proj", x, kv_width, c.attention_bias);
  if (c.normalizes_heads) {
    query = m.RmsNorm("q_norm", query, c.epsilon, kOnePlus, shape.head_dim);
    key = m.RmsNorm("k_norm", key, c.epsilon, kOnePlus, shape.head_dim);
  }
  const ValueId attended = Attend(m, query, key, value, positions, shape, rope);
  return m.Linear("o_proj", attended, c.sizes.hidden, c.attention_bias);
}

// x + norm(attention(norm(x))), then x + norm(mlp(norm(x))).
ValueId Layer(const GemmaConfig& c, const Module& m, int64_t window, ValueId x, ValueId positions,
              const RopeShape& rope) {
  GraphBuilder& g = m.graph();
  ValueId h = m.RmsNorm("input_layernorm", x, c.epsilon, kOnePlus);
  h = SelfAttention(c, m["self_attn"], window, h, positions, rope);
  h = m.RmsNorm("post_attention_layernorm", h, c.epsilon, kOnePlus);
  x = g.Add(m.Name("attention_residual"), x, h);
  h = m.RmsNorm("pre_feedforward_layernorm", x, c.epsilon, kOnePlus);
  h = GatedMlp(m["mlp"], h, c.sizes.mlp_hidden, c.activation, /*bias=*/false);
  h = m.RmsNorm("post_feedforward_layernorm", h, c.epsilon, kOnePlus);
  return g.Add(m.Name("mlp_residual"), x, h);
}

Status Describe(const GemmaConfig& c, const JsonValue& config, const RopeFrequencies& everywhere,
                const RopeFrequencies& in_windows, GraphBuilder& g, TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(everywhere, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const RopeShape full = AddRope(g, "rope.full", everywhere, c.attention.head_dim);
  const RopeShape sliding = AddRope(g, "rope.sliding", in_windows, c.attention.head_dim);
  const Module model = ModelModule(g, "model", "embed_tokens");
  const std::string embedding = model.Name("embed_tokens");

  const TensorId table = g.Matrix(embedding + ".weight", c.sizes.vocabulary, c.sizes.hidden);
  const auto scale = static_cast<float>(std::sqrt(static_cast<double>(c.sizes.hidden)));
  ValueId x = g.Embedding(embedding, inputs.ids, table, scale);
  for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
    const int64_t window = c.windows[static_cast<size_t>(layer)];
    x = Layer(c, model["layers"][layer], window, x, inputs.positions, window > 0 ? sliding : full);
  }
  x = inputs.HeadRows(g, x);
  x = model.RmsNorm("norm", x, c.epsilon, kOnePlus);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = embedding + ".weight",
                  .vocabulary = c.sizes.vocabulary,
                  .tied = c.tied_head,
                  .soft_cap = c.logits_cap,
                  .usual_padding = 0},
                 task);
}

}  // namespace

// Norms before and after each branch, soft caps on scores and logits, windows on every other
// layer.
// Source   Gemma Team 2024.
Status LowerGemma2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const GemmaConfig c, ReadConfig(config, 2, 50.0, 30.0));
  GRAFT_ASSIGN_OR_RETURN(const RopeFrequencies rope, ReadRope(config, c.attention.head_dim));
  return Describe(c, config, rope, rope, graph, task);
}

// Gemma 2 with normalized query and key heads instead of soft caps, windows on five layers of six,
// and a rope of a shorter base on those.
// Source   Gemma Team 2025.
Status LowerGemma3(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t interval,
                         config.GetIntIn("sliding_window_pattern", 1, kMaxLayers, 6));
  GRAFT_ASSIGN_OR_RETURN(GemmaConfig c, ReadConfig(config, interval, 0.0, 0.0));
  c.normalizes_heads = true;
  const int64_t head_dim = c.attention.head_dim;
  // transformers 5 has an object for each type of layer, 4 a key for the base of each.
  const JsonValue parameters = config.Find("rope_parameters");
  RopeDefaults full = {.by_layer_type = true};
  RopeDefaults sliding = {.by_layer_type = true};
  GRAFT_ASSIGN_OR_RETURN(full.theta, ReadPositive(config, "rope_theta", 1e6));
  GRAFT_ASSIGN_OR_RETURN(sliding.theta, ReadPositive(config, "rope_local_base_freq", 1e4));
  // What rope_scaling says comes over what rope_parameters says of the full layers.
  JsonValue of_full = parameters.Find("full_attention");
  if (config.Has("rope_scaling")) {
    GRAFT_ASSIGN_OR_RETURN(full.theta, ReadPositive(of_full, "rope_theta", full.theta));
    of_full = config.Find("rope_scaling");
  }
  GRAFT_ASSIGN_OR_RETURN(const RopeFrequencies everywhere,
                         ReadRopeParameters(config, of_full, head_dim, full));
  GRAFT_ASSIGN_OR_RETURN(
      const RopeFrequencies in_windows,
      ReadRopeParameters(config, parameters.Find("sliding_attention"), head_dim, sliding));
  return Describe(c, config, everywhere, in_windows, graph, task);
}

}  // namespace graft::converter
