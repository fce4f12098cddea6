// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/llama.h"

#include <cmath>
#include <string>
#include <vector>

#include "converter/lower/activation.h"
#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

// Far above any model there is; they keep sums and products of sizes within 64 bits.
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 4096;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxContext = int64_t{1} << 30;

struct LlamaConfig {
  int64_t hidden = 0;
  int64_t mlp_hidden = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  AttentionShape attention;
  float epsilon = 0.0f;
  schema::fb::ActivationKind activation{};
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  bool tied_head = false;
  std::vector<int64_t> windows;  // of each layer; 0: none
};

Result<LlamaConfig> ReadConfig(const JsonValue& config) {
  LlamaConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.hidden, config.GetIntIn("hidden_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.mlp_hidden, config.GetIntIn("intermediate_size", 1, kMaxWidth));
  GRAFT_ASSIGN_OR_RETURN(c.layers, config.GetIntIn("num_hidden_layers", 1, kMaxLayers));
  GRAFT_ASSIGN_OR_RETURN(c.vocabulary, config.GetIntIn("vocab_size", 1, kMaxVocabulary));

  AttentionShape& attention = c.attention;
  GRAFT_ASSIGN_OR_RETURN(attention.heads, config.GetIntIn("num_attention_heads", 1, kMaxHeads));
  GRAFT_ASSIGN_OR_RETURN(attention.kv_heads,
                         config.GetIntIn("num_key_value_heads", 1, kMaxHeads, attention.heads));
  if (attention.heads % attention.kv_heads != 0) {
    return config.Find("num_key_value_heads")
        .Fail("is " + std::to_string(attention.kv_heads) + ", which does not divide the " +
              std::to_string(attention.heads) + " attention heads");
  }
  if (!config.Has("head_dim") && c.hidden % attention.heads != 0) {
    return config.Find("num_attention_heads")
        .Fail("is " + std::to_string(attention.heads) + ", which does not divide hidden_size " +
              std::to_string(c.hidden) + ", and there is no head_dim");
  }
  GRAFT_ASSIGN_OR_RETURN(attention.head_dim,
                         config.GetIntIn("head_dim", 1, kMaxHeadDim, c.hidden / attention.heads));
  attention.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(attention.head_dim)));

  GRAFT_ASSIGN_OR_RETURN(const double epsilon, config.GetDouble("rms_norm_eps", 1e-6));
  if (!(epsilon > 0.0 && epsilon < 1.0)) {
    return config.Find("rms_norm_eps")
        .Fail("is " + config.Find("rms_norm_eps").Text() + "; it must lie between 0 and 1");
  }
  c.epsilon = static_cast<float>(epsilon);
  GRAFT_ASSIGN_OR_RETURN(c.activation, ReadActivation(config, "hidden_act"));
  GRAFT_ASSIGN_OR_RETURN(const bool attention_bias, config.GetBool("attention_bias", false));
  c.qkv_bias = c.output_bias = attention_bias;
  GRAFT_ASSIGN_OR_RETURN(c.mlp_bias, config.GetBool("mlp_bias", false));
  GRAFT_ASSIGN_OR_RETURN(c.tied_head, config.GetBool("tie_word_embeddings", false));
  c.windows.assign(static_cast<size_t>(c.layers), 0);
  return c;
}

// Windows layer by layer, from the list that newer files carry; false if there is none.
Result<bool> ReadLayerTypes(const JsonValue& config, int64_t window, LlamaConfig* c) {
  if (!config.Has("layer_types")) return false;
  const JsonValue types = config.Find("layer_types");
  if (!types.IsArray() || types.size() != c->windows.size()) {
    return types.Fail("must list one type for each of the " + std::to_string(c->layers) +
                      " layers");
  }
  for (size_t i = 0; i < types.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view type, types.at(i).AsString());
    if (type != "full_attention" && type != "sliding_attention") {
      return types.at(i).Fail(
          "is " + types.at(i).Text() + "; this version knows full_attention and sliding_attention",
          StatusCode::kUnsupported);
    }
    if (type != "sliding_attention") continue;
    if (window == 0)
      return types.at(i).Fail("is sliding_attention, but there is no sliding_window");
    c->windows[i] = window;
  }
  return true;
}

// x + attention(norm(x)), then x + mlp(norm(x)).
ValueId DecoderLayer(const LlamaConfig& c, int64_t layer, ValueId x, ValueId positions,
                     const RopeShape& rope, GraphBuilder& g) {
  const std::string prefix = "model.layers." + std::to_string(layer) + ".";
  const auto linear = [&](const std::string& module, ValueId input, int64_t out_features,
                          int64_t in_features, bool bias) {
    const std::string name = prefix + module;
    const TensorId weight = g.Matrix(name + ".weight", out_features, in_features);
    return g.Linear(name, input, weight,
                    bias ? g.Vector(name + ".bias", out_features) : TensorId{});
  };
  const auto norm = [&](const std::string& module, ValueId input) {
    return g.RmsNorm(prefix + module, input, g.Vector(prefix + module + ".weight", c.hidden),
                     c.epsilon);
  };
  AttentionShape attention = c.attention;
  attention.window = c.windows[static_cast<size_t>(layer)];
  const int64_t query_width = attention.heads * attention.head_dim;
  const int64_t kv_width = attention.kv_heads * attention.head_dim;

  ValueId h = norm("input_layernorm", x);
  const ValueId query = linear("self_attn.q_proj", h, query_width, c.hidden, c.qkv_bias);
  const ValueId key = linear("self_attn.k_proj", h, kv_width, c.hidden, c.qkv_bias);
  const ValueId value = linear("self_attn.v_proj", h, kv_width, c.hidden, c.qkv_bias);
  const ValueId query_at = g.Rope(prefix + "self_attn.q_rope", query, positions, rope);
  const ValueId key_at = g.Rope(prefix + "self_attn.k_rope", key, positions, rope);
  h = g.CachedAttention(prefix + "self_attn", query_at, key_at, value, positions, attention);
  h = linear("self_attn.o_proj", h, c.hidden, query_width, c.output_bias);
  x = g.Add(prefix + "attention_residual", x, h);

  h = norm("post_attention_layernorm", x);
  const ValueId gate = linear("mlp.gate_proj", h, c.mlp_hidden, c.hidden, c.mlp_bias);
  const ValueId up = linear("mlp.up_proj", h, c.mlp_hidden, c.hidden, c.mlp_bias);
  h = g.GatedActivation(prefix + "mlp.act", gate, up, c.activation);
  h = linear("mlp.down_proj", h, c.hidden, c.mlp_hidden, c.mlp_bias);
  return g.Add(prefix + "mlp_residual", x, h);
}

Status Describe(const LlamaConfig& c, const JsonValue& config, GraphBuilder& g,
                TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(RopeFrequencies frequencies, ReadRope(config, c.attention.head_dim));
  GRAFT_ASSIGN_OR_RETURN(task->context_tokens,
                         config.GetIntIn("max_position_embeddings", 1, kMaxContext, 2048));
  GRAFT_ASSIGN_OR_RETURN(task->architecture, config.GetString("model_type"));
  task->generates_text = true;

  const ValueId ids = g.TokenIds();
  const ValueId positions = g.Positions();
  const ValueId output_rows = g.OutputRows();
  RopeShape rope;
  rope.head_dim = c.attention.head_dim;
  rope.rotary_dim = static_cast<int64_t>(2 * frequencies.inverse.size());
  rope.magnitude = frequencies.magnitude;
  rope.inverse_frequencies = g.Literal("rope.inverse_frequencies", std::move(frequencies.inverse));

  const TensorId table = g.Matrix("model.embed_tokens.weight", c.vocabulary, c.hidden);
  ValueId x = g.Embedding("model.embed_tokens", ids, table);
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    x = DecoderLayer(c, layer, x, positions, rope, g);
  }
  // Only rows whose logits are wanted go through the head.
  x = g.SelectRows("last_hidden", x, output_rows);
  x = g.RmsNorm("model.norm", x, g.Vector("model.norm.weight", c.hidden), c.epsilon);
  // A tied model may store its head all the same, and an adapter that changed one of the two
  // matrices unties them.
  const bool untied =
      !c.tied_head || (g.Has("lm_head.weight") &&
                       (g.IsAdapted("lm_head.weight") || g.IsAdapted("model.embed_tokens.weight")));
  const TensorId head = untied ? g.Matrix("lm_head.weight", c.vocabulary, c.hidden) : table;
  g.Output(g.Linear("logits", x, head));
  return OkStatus();
}

}  // namespace

Status LowerLlama(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const LlamaConfig c, ReadConfig(config));
  return Describe(c, config, graph, task);
}

Status LowerMistral(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(LlamaConfig c, ReadConfig(config));
  // A file that says null has no window; one that says nothing has the first Mistral's.
  bool mentioned = false;
  for (size_t i = 0; i < config.size(); ++i) mentioned |= config.key(i) == "sliding_window";
  GRAFT_ASSIGN_OR_RETURN(const int64_t window,
                         config.GetIntIn("sliding_window", 1, kMaxContext, mentioned ? 0 : 4096));
  GRAFT_ASSIGN_OR_RETURN(const bool listed, ReadLayerTypes(config, window, &c));
  if (!listed) c.windows.assign(c.windows.size(), window);
  return Describe(c, config, graph, task);
}

Status LowerQwen2(const JsonValue& config, GraphBuilder& graph, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(LlamaConfig c, ReadConfig(config));
  c.qkv_bias = true;
  c.output_bias = false;
  GRAFT_ASSIGN_OR_RETURN(const bool windowed, config.GetBool("use_sliding_window", false));
  int64_t window = 0;
  if (windowed) {
    GRAFT_ASSIGN_OR_RETURN(window, config.GetIntIn("sliding_window", 1, kMaxContext, 4096));
  }
  GRAFT_ASSIGN_OR_RETURN(const bool listed, ReadLayerTypes(config, window, &c));
  if (!listed && windowed) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t full_layers,
                           config.GetIntIn("max_window_layers", 0, kMaxLayers, 28));
    for (int64_t layer = full_layers; layer < c.layers; ++layer) {
      c.windows[static_cast<size_t>(layer)] = window;
    }
  }
  return Describe(c, config, graph, task);
}

}  // namespace graft::converter
