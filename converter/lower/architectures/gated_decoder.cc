// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_decoder.h"

#include <optional>
#include <string>

#include "converter/lower/activation.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

constexpr int64_t kUsualFullLayers = 28;

ValueId SelfAttention(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                      ValueId positions, const RopeShape& rope) {
  AttentionShape shape = d.attention;
  shape.window = d.windows[static_cast<size_t>(layer)];
  const bool rotates = d.rotates.empty() || d.rotates[static_cast<size_t>(layer)];
  const int64_t query_width = shape.heads * shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  ValueId query;
  ValueId key;
  ValueId value;
  if (d.fused) {
    const FusedLinear all = {
        .name = "qkv_proj", .out_features = query_width + 2 * kv_width, .bias = d.qkv_bias};
    query = m.Linear(all, "q", x, query_width, {.begin = 0});
    key = m.Linear(all, "k", x, kv_width, {.begin = query_width});
    value = m.Linear(all, "v", x, kv_width, {.begin = query_width + kv_width});
  } else {
    query = m.Linear("q_proj", x, query_width, d.qkv_bias);
    key = m.Linear("k_proj", x, kv_width, d.qkv_bias);
    value = m.Linear("v_proj", x, kv_width, d.qkv_bias);
  }
  if (d.normalizes_heads) {
    query = m.RmsNorm("q_norm", query, d.epsilon, {}, shape.head_dim);
    key = m.RmsNorm("k_norm", key, d.epsilon, {}, shape.head_dim);
  }
  const ValueId attended =
      Attend(m, query, key, value, positions, shape, rotates ? std::optional(rope) : std::nullopt);
  return m.Linear("o_proj", attended, d.sizes.hidden, d.output_bias, d.residual_factor);
}

ValueId Mlp(const GatedDecoder& d, const Module& m, ValueId x) {
  const int64_t hidden = d.sizes.mlp_hidden;
  if (!d.fused) return GatedMlp(m, x, hidden, d.activation, d.mlp_bias, d.residual_factor);
  const FusedLinear both = {.name = "gate_up_proj", .out_features = 2 * hidden, .bias = d.mlp_bias};
  const ValueId gate = m.Linear(both, "gate", x, hidden, {.begin = 0});
  const ValueId up = m.Linear(both, "up", x, hidden, {.begin = hidden});
  const ValueId gated = m.graph().GatedActivation(m.Name("act"), gate, up, d.activation);
  return m.Linear("down_proj", gated, d.sizes.hidden, d.mlp_bias, d.residual_factor);
}

// x + attention(norm(x)), then x + mlp(norm(x)).
ValueId Layer(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x, ValueId positions,
              const RopeShape& rope) {
  GraphBuilder& g = m.graph();
  ValueId h = m.RmsNorm("input_layernorm", x, d.epsilon);
  h = SelfAttention(d, m["self_attn"], layer, h, positions, rope);
  x = g.Add(m.Name("attention_residual"), x, h);
  h = m.RmsNorm("post_attention_layernorm", x, d.epsilon);
  return g.Add(m.Name("mlp_residual"), x, Mlp(d, m["mlp"], h));
}

}  // namespace

Result<GatedDecoder> ReadGatedDecoder(const JsonValue& config, const GatedDefaults& defaults) {
  GatedDecoder d;
  d.usual_padding = defaults.padding;
  GRAFT_ASSIGN_OR_RETURN(d.sizes, ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(d.attention,
                         ReadAttentionShape(config, d.sizes.hidden, defaults.head_dim));
  GRAFT_ASSIGN_OR_RETURN(d.rope, ReadRope(config, d.attention.head_dim, defaults.rope));
  GRAFT_ASSIGN_OR_RETURN(d.epsilon, ReadEpsilon(config, "rms_norm_eps", 1e-6));
  GRAFT_ASSIGN_OR_RETURN(d.activation, ReadActivation(config, "hidden_act"));
  GRAFT_ASSIGN_OR_RETURN(const bool attention_bias, config.GetBool("attention_bias", false));
  d.qkv_bias = d.output_bias = attention_bias;
  GRAFT_ASSIGN_OR_RETURN(d.mlp_bias, config.GetBool("mlp_bias", false));
  GRAFT_ASSIGN_OR_RETURN(d.tied_head, config.GetBool("tie_word_embeddings", defaults.tied));
  d.windows.assign(static_cast<size_t>(d.sizes.layers), 0);
  return d;
}

Status ReadSwitchedWindows(const JsonValue& config, GatedDecoder* decoder) {
  GRAFT_ASSIGN_OR_RETURN(const bool switched, config.GetBool("use_sliding_window", false));
  int64_t window = 0;
  if (switched) {
    GRAFT_ASSIGN_OR_RETURN(window, config.GetIntIn("sliding_window", 1, kMaxContext, 4096));
  }
  GRAFT_ASSIGN_OR_RETURN(auto listed, ReadListedWindows(config, decoder->sizes.layers, window));
  if (listed) {
    decoder->windows = std::move(*listed);
  } else if (switched) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t full_layers,
                           config.GetIntIn("max_window_layers", 0, kMaxLayers, kUsualFullLayers));
    for (int64_t layer = full_layers; layer < decoder->sizes.layers; ++layer) {
      decoder->windows[static_cast<size_t>(layer)] = window;
    }
  }
  return OkStatus();
}

Status LowerGatedDecoder(const GatedDecoder& d, const JsonValue& config, GraphBuilder& g,
                         TaskDescription* task) {
  GRAFT_RETURN_IF_ERROR(ReadTextTask(config, "max_position_embeddings", task));
  task->context_tokens = ContextOf(d.rope, task->context_tokens);
  GRAFT_ASSIGN_OR_RETURN(const DecoderInputs inputs, AddDecoderInputs(config, g, *task));
  const RopeShape rope = AddRope(g, "rope.inverse_frequencies", d.rope, d.attention.head_dim);
  const Module model = ModelModule(g, "model", "embed_tokens");
  const std::string embedding = model.Name("embed_tokens");

  const TensorId table = g.Matrix(embedding + ".weight", d.sizes.vocabulary, d.sizes.hidden);
  ValueId x = g.Embedding(embedding, inputs.ids, table, static_cast<float>(d.embedding_factor));
  for (int64_t layer = 0; layer < d.sizes.layers; ++layer) {
    x = Layer(d, model["layers"][layer], layer, x, inputs.positions, rope);
  }
  // Only rows whose logits are wanted go through the head.
  x = inputs.HeadRows(g, x);
  x = model.RmsNorm("norm", x, d.epsilon,
                    {.factor = inputs.head == DecoderHead::kLogits ? d.logits_factor : 1.0});
  return AddHead(config, g, x, inputs,
                 {.weight = "lm_head.weight",
                  .embedding = embedding + ".weight",
                  .vocabulary = d.sizes.vocabulary,
                  .tied = d.tied_head,
                  .usual_padding = d.usual_padding},
                 task);
}

}  // namespace graft::converter
