// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/activation.h"
#include "converter/lower/architectures/registry.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

struct NeoXConfig {
  DecoderSizes sizes;
  AttentionShape attention;
  RopeFrequencies rope;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool attention_bias = true;
  bool parallel = true;
  bool tied_head = false;
};

Result<NeoXConfig> ReadConfig(const JsonValue& config) {
  GRAFT_RETURN_IF_ERROR(RefuseOtherSettings(config, {"attention_bias", "use_parallel_residual"}));
  NeoXConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.attention, ReadAttentionShape(config, c.sizes.hidden));
  if (c.attention.kv_heads != c.attention.heads) {
    return config.Find("num_key_value_heads").Fail("must equal num_attention_heads");
  }
  GRAFT_ASSIGN_OR_RETURN(c.rope, ReadRope(config, c.attention.head_dim,
                                          {.theta_key = "rotary_emb_base",
                                           .rotated_part_key = "rotary_pct",
                                           .rotated_part = 0.25}));
  GRAFT_ASSIGN_OR_RETURN(c.epsilon, ReadEpsilon(config, "layer_norm_eps", 1e-5));
  c.activation = schema::fb::ActivationKind::Gelu;
  if (config.Has("hidden_act")) {
    GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "hidden_act"));
  }
  GRAFT_ASSIGN_OR_RETURN(c.attention_bias, config.GetBool("attention_bias", true));
  GRAFT_ASSIGN_OR_RETURN(c.parallel, config.GetBool("use_parallel_residual", true));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", false));
  return c;
}

ValueId SelfAttention(const NeoXConfig& c, const Module& m, ValueId x, ValueId positions,
                      const RopeShape& rope) {
  const int64_t head_dim = c.attention.head_dim;
  const int64_t width = c.attention.heads * head_dim;
  const FusedLinear all = {
      .name = "query_key_value", .out_features = 3 * width, .bias = c.attention_bias};
  const auto part = [&](std::string_view name, int64_t index) {
    return m.Linear(all, name, x, width,
                    {.begin = index * head_dim, .run_rows = head_dim, .run_stride = 3 * head_dim});
  };
  const ValueId query = part("q", 0);
  const ValueId key = part("k", 1);
  const ValueId value = part("v", 2);
  const ValueId attended = Attend(m, query, key, value, positions, c.attention, rope);
  return m.Linear("dense", attended, c.sizes.hidden, c.attention_bias);
}

ValueId Mlp(const NeoXConfig& c, const Module& m, ValueId x) {
  const ValueId h = m.Linear("dense_h_to_4h", x, c.sizes.mlp_hidden, /*bias=*/true);
  const ValueId active = m.graph().Activation(m.Name("act"), h, c.activation);
  return m.Linear("dense_4h_to_h", active, c.sizes.hidden, /*bias=*/true);
}

// x + attention(norm1(x)) + mlp(norm2(x)), or one after the other.
ValueId Layer(const NeoXConfig& c, const Module& m, ValueId x, ValueId positions,
              const RopeShape& rope) {
  GraphBuilder& g = m.graph();
  const ValueId normed = m.LayerNorm("input_layernorm", x, c.epsilon);
  const ValueId attended = SelfAttention(c, m["attention"], normed, positions, rope);
  const ValueId with_attention = g.Add(m.Name("attention_residual"), x, attended);
  const ValueId normed_too =
      m.LayerNorm("post_attention_layernorm", c.parallel ? x : with_attention, c.epsilon);
  return g.Add(m.Name("mlp_residual"), with_attention, Mlp(c, m["mlp"], normed_too));
}

}  // namespace

// GPT-NeoX and Pythia: attention and MLP beside each other, a quarter of each head rotated, query,
// key and value of a head next to each other in one matrix.
// Source   Black et al. 2022; Biderman et al. 2023.
Status LowerGptNeoX(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const NeoXConfig c, ReadConfig(config));
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(c.rope, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const RopeShape rope = AddRope(g, "rope.inverse_frequencies", c.rope, c.attention.head_dim);
  const Module model = ModelModule(g, "gpt_neox", "embed_in");

  const TensorId table =
      g.Matrix(model.Name("embed_in.weight"), c.sizes.vocabulary, c.sizes.hidden);
  ValueId x = g.Embedding(model.Name("embed_in"), inputs.ids, table);
  for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
    x = Layer(c, model["layers"][layer], x, inputs.positions, rope);
  }
  x = inputs.HeadRows(g, x);
  x = model.LayerNorm("final_layer_norm", x, c.epsilon);
  return AddHead(config, g, x, inputs,
                 {.weight = "embed_out.weight",
                  .embedding = model.Name("embed_in.weight"),
                  .vocabulary = c.sizes.vocabulary,
                  .tied = c.tied_head},
                 task);
}

}  // namespace graft::converter
