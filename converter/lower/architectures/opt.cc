// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr float kEpsilon = 1e-5f;      // LayerNorm's own; no setting
constexpr int64_t kFirstPosition = 2;  // the rows before it belong to padding

struct OptConfig {
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  int64_t embedding_width = 0;
  int64_t context = 0;
  AttentionShape attention;
  schema::fb::ActivationKind activation{};
  bool norm_first = true;
  bool final_norm = true;
  bool bias = true;
  bool tied_head = true;
};

Result<OptConfig> ReadConfig(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(
      RefuseOtherSettings(config, {"do_layer_norm_before", "enable_bias", "word_embed_proj_dim"}));
  OptConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_hidden, config.GetIntIn("ffn_dim", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.layers, config.GetIntIn("num_hidden_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));
  GRAFT_ASSIGN_OR_RETURN(c.embedding_width,
                         config.GetIntIn("word_embed_proj_dim", 1, kMaxWidth, c.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.context,
                         config.GetIntIn("max_position_embeddings", 1, kMaxContext, 2048));
  GRAFT_ASSIGN_OR_RETURN(c.attention, ReadAttentionShape(config, c.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "activation_function"));
  GRAFT_ASSIGN_OR_RETURN(c.norm_first, config.GetBool("do_layer_norm_before", true));
  GRAFT_ASSIGN_OR_RETURN(const bool removed, config.GetBool("_remove_final_layer_norm", false));
  c.final_norm = c.norm_first && !removed;
  GRAFT_ASSIGN_OR_RETURN(c.bias, config.GetBool("enable_bias", true));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", true));
  return c;
}

ValueId SelfAttention(const OptConfig& c, const Module& m, ValueId x, ValueId positions) {
  const ValueId query = m.Linear("q_proj", x, c.hidden, c.bias);
  const ValueId key = m.Linear("k_proj", x, c.hidden, c.bias);
  const ValueId value = m.Linear("v_proj", x, c.hidden, c.bias);
  const ValueId attended = Attend(m, query, key, value, positions, c.attention, std::nullopt);
  return m.Linear("out_proj", attended, c.hidden, c.bias);
}

ValueId Mlp(const OptConfig& c, const Module& m, ValueId x) {
  const ValueId h = m.Linear("fc1", x, c.mlp_hidden, c.bias);
  return m.Linear("fc2", m.graph().Activation(m.Name("act"), h, c.activation), c.hidden, c.bias);
}

// x + branch(norm(x)), or norm(x + branch(x)).
template <typename Branch>
ValueId WithResidual(const OptConfig& c, const Module& m, std::string_view norm, ValueId x,
                     std::string_view name, Branch branch) {
  GraphBuilder& g = m.graph();
  const ValueId h = branch(c.norm_first ? m.LayerNorm(norm, x, kEpsilon) : x);
  const ValueId sum = g.Add(m.Name(name), x, h);
  return c.norm_first ? sum : m.LayerNorm(norm, sum, kEpsilon);
}

ValueId Layer(const OptConfig& c, const Module& m, ValueId x, ValueId positions) {
  x = WithResidual(c, m, "self_attn_layer_norm", x, "attention_residual",
                   [&](ValueId h) { return SelfAttention(c, m["self_attn"], h, positions); });
  return WithResidual(c, m, "final_layer_norm", x, "mlp_residual",
                      [&](ValueId h) { return Mlp(c, m, h); });
}

}  // namespace

// OPT: learned positions that start at row 2, ReLU, norms before or (350m) after each branch.
// Source   Zhang et al. 2022.
Status LowerOpt(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const OptConfig c, ReadConfig(config));
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  // The first releases leave the model's own name out.
  const Module model(g, g.Has("decoder.embed_tokens.weight") ? "decoder" : "model.decoder");

  const std::string tokens = model.Name("embed_tokens");
  const bool projects = c.embedding_width != c.hidden;
  ValueId x = g.Embedding(tokens, inputs.ids,
                          g.Matrix(tokens + ".weight", c.vocabulary, c.embedding_width));
  if (projects) x = model.Linear("project_in", x, c.hidden);
  const std::string places = model.Name("embed_positions.weight");
  const TensorId place_table = g.FloatMatrix(places,
                                             {.source = places,
                                              .source_rows = c.context + kFirstPosition,
                                              .rows = {.begin = kFirstPosition}},
                                             c.context, c.hidden);
  x = g.Add("embedded", x,
            g.Embedding(model.Name("embed_positions"), inputs.positions, place_table));
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    x = Layer(c, model["layers"][layer], x, inputs.positions);
  }
  x = inputs.HeadRows(g, x);
  if (c.final_norm) x = model.LayerNorm("final_layer_norm", x, kEpsilon);
  if (projects) x = model.Linear("project_out", x, c.embedding_width);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = tokens + ".weight",
                  .vocabulary = c.vocabulary,
                  .tied = c.tied_head,
                  .usual_padding = 1},
                 task);
}

}  // namespace graft::converter
