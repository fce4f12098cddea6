// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"

namespace graft::converter {
namespace {

struct Olmo2Config {
  DecoderSizes sizes;
  AttentionShape attention;
  RopeFrequencies rope;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool attention_bias = false;
  bool tied_head = false;
};

Result<Olmo2Config> ReadConfig(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias"}));
  Olmo2Config c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.attention, ReadAttentionShape(config, c.sizes.hidden));
  GRAFT_ASSIGN_OR_RETURN(c.rope, ReadRope(config, c.attention.head_dim));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "rms_norm_eps", 1e-5));
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "hidden_act"));
  GRAFT_ASSIGN_OR_RETURN(c.attention_bias, config.GetBool("attention_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", false));
  return c;
}

// Query and key are normalized over all heads together.
ValueId SelfAttention(const Olmo2Config& c, const Module& m, ValueId x, ValueId positions,
                      const RopeShape& rope) {
  const AttentionShape& shape = c.attention;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  ValueId query = m.Linear("q_proj", x, shape.heads * shape.head_dim, c.attention_bias);
  ValueId key = m.Linear("k_proj", x, kv_width, c.attention_bias);
  const ValueId value = m.Linear("v_proj", x, kv_width, c.attention_bias);
  query = m.RmsNorm("q_norm", query, c.epsilon);
  key = m.RmsNorm("k_norm", key, c.epsilon);
  const ValueId attended = Attend(m, query, key, value, positions, shape, rope);
  return m.Linear("o_proj", attended, c.sizes.hidden, c.attention_bias);
}

// x + norm(attention(x)), then x + norm(mlp(x)).
ValueId Layer(const Olmo2Config& c, const Module& m, ValueId x, ValueId positions,
              const RopeShape& rope) {
  GraphBuilder& g = m.graph();
  ValueId h = SelfAttention(c, m["self_attn"], x, positions, rope);
  h = m.RmsNorm("post_attention_layernorm", h, c.epsilon);
  x = g.Add(m.Name("attention_residual"), x, h);
  h = GatedMlp(m["mlp"], x, c.sizes.mlp_hidden, c.activation, /*bias=*/false);
  h = m.RmsNorm("post_feedforward_layernorm", h, c.epsilon);
  return g.Add(m.Name("mlp_residual"), x, h);
}

}  // namespace

// OLMo 2: Llama with norms after its branches instead of before, and normalized queries and keys.
// Source   OLMo Team 2024.
Status LowerOlmo2(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const Olmo2Config c, ReadConfig(config));
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(c.rope, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const RopeShape rope = AddRope(g, "rope.inverse_frequencies", c.rope, c.attention.head_dim);
  const Module model = ModelModule(g, "model", "embed_tokens");
  const std::string embedding = model.Name("embed_tokens");

  const TensorId table = g.Matrix(embedding + ".weight", c.sizes.vocabulary, c.sizes.hidden);
  ValueId x = g.Embedding(embedding, inputs.ids, table);
  for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
    x = Layer(c, model["layers"][layer], x, inputs.positions, rope);
  }
  x = inputs.HeadRows(g, x);
  x = model.RmsNorm("norm", x, c.epsilon);
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = embedding + ".weight",
                  .vocabulary = c.sizes.vocabulary,
                  .tied = c.tied_head,
                  .usual_padding = 1},
                 task);
}

}  // namespace graft::converter
