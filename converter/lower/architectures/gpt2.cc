// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

struct Gpt2Config {
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;
  AttentionShape attention;
  bool scales_by_layer = false;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool tied_head = true;
};

Result<Gpt2Config> ReadConfig(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"scale_attn_weights", "scale_attn_by_inverse_layer_idx"}));
  Gpt2Config c;
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("n_embd", 1, kMaxWidth, 768));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_hidden, config.GetIntIn("n_inner", 1, 4 * kMaxWidth, 4 * c.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.layers, config.GetIntIn("n_layer", 1, kMaxLayers, 12));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary, 50257));
  GRAFT_ASSIGN_OR_RETURN(c.context, config.GetIntIn("n_positions", 1, kMaxContext, 1024));
  GRAFT_ASSIGN_OR_RETURN(c.attention.heads, config.GetIntIn("n_head", 1, kMaxHeads, 12));
  if (c.hidden % c.attention.heads != 0) {
    return config.Find("n_head").Fail("is " + std::to_string(c.attention.heads) +
                                      ", which does not divide n_embd " + std::to_string(c.hidden));
  }
  c.attention.kv_heads = c.attention.heads;
  c.attention.head_dim = c.hidden / c.attention.heads;
  GRAFT_ASSIGN_OR_RETURN(const bool scales, config.GetBool("scale_attn_weights", true));
  c.attention.scale =
      scales ? static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.attention.head_dim)))
             : 1.0f;
  GRAFT_ASSIGN_OR_RETURN(c.scales_by_layer,
                         config.GetBool("scale_attn_by_inverse_layer_idx", false));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "layer_norm_epsilon", 1e-5));
  c.activation = schema::fb::ActivationKind::GeluTanh;
  if (config.Has("activation_function")) {
    GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "activation_function"));
  }
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", true));
  return c;
}

// A linear layer whose weight lies [in_features, out_features].
ValueId Conv1D(const Module& m, std::string_view name, ValueId x, int64_t out_features) {
  const FusedLinear whole = {
      .name = name, .out_features = out_features, .bias = true, .transposed = true};
  return m.Linear(whole, "", x, out_features, {});
}

ValueId SelfAttention(const Gpt2Config& c, const Module& m, int64_t layer, ValueId x,
                      ValueId positions) {
  AttentionShape shape = c.attention;
  if (c.scales_by_layer) shape.scale /= static_cast<float>(layer + 1);
  const FusedLinear all = {
      .name = "c_attn", .out_features = 3 * c.hidden, .bias = true, .transposed = true};
  const ValueId query = m.Linear(all, "q", x, c.hidden, {.begin = 0});
  const ValueId key = m.Linear(all, "k", x, c.hidden, {.begin = c.hidden});
  const ValueId value = m.Linear(all, "v", x, c.hidden, {.begin = 2 * c.hidden});
  const ValueId attended = Attend(m, query, key, value, positions, shape, std::nullopt);
  return Conv1D(m, "c_proj", attended, c.hidden);
}

ValueId Mlp(const Gpt2Config& c, const Module& m, ValueId x) {
  const ValueId h = Conv1D(m, "c_fc", x, c.mlp_hidden);
  const ValueId active = m.graph().Activation(m.Name("act"), h, c.activation);
  return Conv1D(m, "c_proj", active, c.hidden);
}

// x + attention(norm(x)), then x + mlp(norm(x)).
ValueId Layer(const Gpt2Config& c, const Module& m, int64_t layer, ValueId x, ValueId positions) {
  GraphBuilder& g = m.graph();
  ValueId h = m.LayerNorm("ln_1", x, c.epsilon);
  h = SelfAttention(c, m["attn"], layer, h, positions);
  x = g.Add(m.Name("attention_residual"), x, h);
  h = m.LayerNorm("ln_2", x, c.epsilon);
  return g.Add(m.Name("mlp_residual"), x, Mlp(c, m["mlp"], h));
}

}  // namespace

// GPT-2: learned positions, LayerNorm, weights stored [in_features, out_features].
// Source   Radford et al. 2019.
Status LowerGpt2(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const Gpt2Config c, ReadConfig(config));
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "n_positions", task));
  task->context_tokens = c.context;
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const Module model = ModelModule(g, "transformer", "wte");

  const std::string wte = model.Name("wte");
  const TensorId table = g.Matrix(wte + ".weight", c.vocabulary, c.hidden);
  const std::string places = model.Name("wpe.weight");
  const TensorId place_table =
      g.FloatMatrix(places, {.source = places, .source_rows = c.context}, c.context, c.hidden);
  const ValueId token = g.Embedding(wte, inputs.ids, table);
  const ValueId place = g.Embedding(model.Name("wpe"), inputs.positions, place_table);
  ValueId x = g.Add("embedded", token, place);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    x = Layer(c, model["h"][layer], layer, x, inputs.positions);
  }
  x = inputs.HeadRows(g, x);
  x = model.LayerNorm("ln_f", x, c.epsilon);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = wte + ".weight",
                  .vocabulary = c.vocabulary,
                  .tied = c.tied_head},
                 task);
}

}  // namespace graft::converter
