// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/gated_layer.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "converter/lower/architectures/differential_attention.h"
#include "converter/lower/decoder_parts.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

struct Heads {
  ValueId query, key, value;
  ValueId gate{};  // of what is attended to
};

Heads Project(const GatedDecoder& d, const Module& m, const AttentionShape& shape, ValueId x) {
  const int64_t query_width = shape.heads * shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  if (d.gated_attention) {
    // Head by head: the query, then the gate.
    const FusedLinear both = {
        .name = "q_proj", .out_features = 2 * query_width, .bias = d.qkv_bias};
    const auto half = [&](int64_t begin) {
      return RowRuns{.begin = begin, .run_rows = shape.head_dim, .run_stride = 2 * shape.head_dim};
    };
    const ValueId query = m.Linear(both, "query", x, query_width, half(0));
    const ValueId gate = m.Linear(both, "gate", x, query_width, half(shape.head_dim));
    const ValueId key = m.Linear("k_proj", x, kv_width, d.qkv_bias);
    return {query, key, m.Linear("v_proj", x, kv_width, d.qkv_bias), gate};
  }
  if (!d.fused) {
    // A factor of what is read goes into the weights, unless there are biases, which it is not of.
    double factor = d.attention_input_factor;
    if (d.qkv_bias && factor != 1.0) {
      x = m.graph().Scale(m.Name("input"), x, static_cast<float>(factor));
      factor = 1.0;
    }
    const ValueId query = m.Linear("q_proj", x, query_width, d.qkv_bias, factor);
    const ValueId key = m.Linear("k_proj", x, kv_width, d.qkv_bias, factor * d.key_factor);
    return {query, key, m.Linear("v_proj", x, kv_width, d.qkv_bias, factor)};
  }
  const FusedLinear all = {
      .name = d.fused->name, .out_features = query_width + 2 * kv_width, .bias = d.qkv_bias};
  const ValueId query = m.Linear(all, "q", x, query_width, d.fused->query);
  const ValueId key = m.Linear(all, "k", x, kv_width, d.fused->key);
  return {query, key, m.Linear(all, "v", x, kv_width, d.fused->value)};
}

// A weight or bias of [elements] in each head.
TensorId HeadVector(const Module& m, HeadNorms::Weights weights, std::string_view name,
                    std::string_view ending, int64_t heads, int64_t head_dim) {
  using Weights = HeadNorms::Weights;
  GraphBuilder& g = m.graph();
  const std::string source = m.Name(name) + "." + std::string(ending);
  TensorPart part = {.source = source, .source_rows = head_dim};
  if (weights == Weights::kShared) {
    part.rows = {.run_rows = head_dim, .run_stride = 0};
  } else if (weights == Weights::kOwn) {
    return g.Flattened(source, {heads, head_dim});
  } else {
    for (int64_t head = 0; head < heads; ++head) {
      part.sources.push_back(m.Name(name) + ".norms." + std::to_string(head) + "." +
                             std::string(ending));
    }
    part.source = part.sources[0];
  }
  return g.Vector(source, std::move(part), heads * head_dim);
}

ValueId NormalizeHeads(const GatedDecoder& d, const Module& m, std::string_view name, ValueId x) {
  using Weights = HeadNorms::Weights;
  const HeadNorms& norms = d.head_norms;
  const int64_t head_dim = d.attention.head_dim;
  const NormWeight weight = {.factor = 1.0, .offset = norms.design.offset};
  if (norms.weights == Weights::kTogether) return m.RmsNorm(name, x, d.epsilon, weight);
  if (!norms.design.centers) return m.RmsNorm(name, x, d.epsilon, weight, head_dim);
  GraphBuilder& g = m.graph();
  const int64_t heads = g.Width(x) / head_dim;
  const TensorId factors = HeadVector(m, norms.weights, name, "weight", heads, head_dim);
  const TensorId bias =
      norms.design.bias ? HeadVector(m, norms.weights, name, "bias", heads, head_dim) : TensorId{};
  return g.LayerNorm(m.Name(name), x, factors, bias, d.epsilon, head_dim);
}

void NormalizeHeads(const GatedDecoder& d, const Module& m, Heads* heads) {
  if (d.head_norms.weights == HeadNorms::Weights::kNone) return;
  heads->query = NormalizeHeads(d, m, d.head_norms.query, heads->query);
  heads->key = NormalizeHeads(d, m, d.head_norms.key, heads->key);
}

void Clip(const GatedDecoder& d, const Module& m, Heads* heads) {
  if (d.clip == 0.0) return;
  GraphBuilder& g = m.graph();
  const auto limit = static_cast<float>(d.clip);
  heads->query = g.Clamp(m.Name("q_clipped"), heads->query, -limit, limit);
  heads->key = g.Clamp(m.Name("k_clipped"), heads->key, -limit, limit);
  heads->value = g.Clamp(m.Name("v_clipped"), heads->value, -limit, limit);
}

ValueId AttendHeads(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                    const LayerInputs& inputs) {
  GraphBuilder& g = m.graph();
  AttentionShape shape = d.AttentionOf(layer);
  if (!d.alibi_slopes.empty()) {
    shape.alibi_slopes = g.Literal("alibi.slopes", d.alibi_slopes);
    shape.alibi_scale = static_cast<float>(d.alibi_scale);
    shape.alibi_rounded = d.alibi_rounded;
  }
  if (!d.sinks.empty()) shape.sinks = g.Vector(m.Name(d.sinks), shape.heads);
  Heads heads = Project(d, m, shape, x);
  if (!d.head_norms.after_rope) NormalizeHeads(d, m, &heads);
  Clip(d, m, &heads);
  const bool rotates = d.rotates.empty() || d.rotates[static_cast<size_t>(layer)];
  const std::optional<RopeShape>& rope = shape.window > 0 ? inputs.rope_in_windows : inputs.rope;
  if (rope && rotates) {
    RopeShape of_query = *rope;
    of_query.growth = static_cast<float>(d.query_growth);
    of_query.growth_positions = d.query_growth_positions;
    heads.query = g.Rope(m.Name("q_rope"), heads.query, inputs.positions, of_query);
    heads.key = g.Rope(m.Name("k_rope"), heads.key, inputs.positions, *rope);
  }
  if (d.head_norms.after_rope) NormalizeHeads(d, m, &heads);
  const ValueId attended =
      Attend(m, heads.query, heads.key, heads.value, inputs.positions, shape, std::nullopt);
  if (!d.gated_attention) return attended;
  return g.GatedActivation(m.Name("gated"), heads.gate, attended,
                           schema::fb::ActivationKind::Sigmoid);
}

ValueId SelfAttention(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                      const LayerInputs& inputs) {
  ValueId attended = d.differential ? DifferentialAttention(d, m, layer, x, inputs)
                                    : AttendHeads(d, m, layer, x, inputs);
  if (!d.attention_norm.empty()) attended = m.RmsNorm(d.attention_norm, attended, d.epsilon);
  return m.Linear(d.names.attention_output, attended, d.sizes.hidden, d.output_bias,
                  d.residual_factor * d.attention_factor);
}

// xIELU's numbers are kept as what softplus makes positive.
// Source   Huang and Schlag 2024.
ValueId LearnedActivation(const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  const auto number = [&](std::string_view name) {
    return g.Numbers(m.Name("act_fn." + std::string(name)), 1)[0];
  };
  const auto softplus = [](double u) { return std::log1p(std::exp(u)); };
  const double beta = number("beta");
  const XieluNumbers numbers = {.alpha_p = softplus(number("alpha_p")),
                                .alpha_n = beta + softplus(number("alpha_n")),
                                .beta = beta,
                                .epsilon = number("eps")};
  return g.Xielu(m.Name("act"), x, numbers);
}

ValueId Mlp(const GatedDecoder& d, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  const int64_t hidden = d.sizes.mlp_hidden;
  ValueId h;
  if (!d.mlp.gated) {
    h = m.Linear(d.mlp.up, x, hidden, d.mlp_bias);
    h = d.mlp.learned_activation ? LearnedActivation(m, h)
                                 : g.Activation(m.Name("act"), h, d.activation);
  } else if (d.mlp.fused.empty()) {
    const ValueId gate = m.Linear(d.mlp.gate, x, hidden, d.mlp_bias, d.mlp.gate_factor);
    const ValueId up = m.Linear(d.mlp.up, x, hidden, d.mlp_bias);
    h = g.GatedActivation(m.Name("act"), gate, up, d.activation);
  } else {
    const FusedLinear both = {.name = d.mlp.fused, .out_features = 2 * hidden, .bias = d.mlp_bias};
    const ValueId gate = m.Linear(both, "gate", x, hidden, {.begin = 0});
    const ValueId up = m.Linear(both, "up", x, hidden, {.begin = hidden});
    h = g.GatedActivation(m.Name("act"), gate, up, d.activation);
  }
  if (!d.mlp.norm.empty()) h = m.RmsNorm(d.mlp.norm, h, d.epsilon);
  return m.Linear(d.mlp.down, h, d.sizes.hidden, d.mlp_bias, d.residual_factor * d.mlp.down_factor);
}

// Attention, what the layer has instead of it, or the sum of both.
ValueId MixRows(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                const LayerInputs& inputs) {
  if (!d.mixer) return SelfAttention(d, m[d.names.attention], layer, x, inputs);
  const std::vector<bool>& instead = d.mixer->instead;
  if (!instead.empty() && !instead[static_cast<size_t>(layer)])
    return SelfAttention(d, m[d.names.attention], layer, x, inputs);
  const ValueId mixed = d.mixer->mix(m, x);
  if (!instead.empty()) return mixed;
  const ValueId attended = SelfAttention(d, m[d.names.attention], layer, x, inputs);
  return m.graph().Add(m.Name("mixed"), mixed, attended);
}

}  // namespace

ValueId Normalize(const GatedDecoder& d, const Module& m, std::string_view name, ValueId x,
                  double factor) {
  if (name.empty()) return x;
  GraphBuilder& g = m.graph();
  const NormWeight weight = {.factor = factor, .offset = factor * d.norm.offset};
  if (!d.norm.has_weight) {
    const std::vector<float> ones(static_cast<size_t>(g.Width(x)), static_cast<float>(factor));
    const TensorId all = g.Literal(factor == 1.0 ? "norm.ones" : m.Name(name) + ".factor", ones);
    return d.norm.centers ? g.LayerNorm(m.Name(name), x, all, {}, d.epsilon)
                          : g.RmsNorm(m.Name(name), x, all, d.epsilon);
  }
  if (d.norm.centers) return m.LayerNorm(name, x, d.epsilon, d.norm.bias, weight);
  return m.RmsNorm(name, x, d.epsilon, weight);
}

ValueId AddLayer(const GatedDecoder& d, const Module& m, int64_t layer, ValueId x,
                 const LayerInputs& inputs) {
  GraphBuilder& g = m.graph();
  const NormNames& names = d.norm_names;
  const ValueId normed = Normalize(d, m, names.before_attention, x);
  ValueId h = MixRows(d, m, layer, normed, inputs);
  h = Normalize(d, m, names.after_attention, h);
  const ValueId sum = g.Add(m.Name("attention_residual"), d.adds_normed ? normed : x, h);
  ValueId mlp_input = normed;
  if (!d.parallel || !names.before_mlp.empty())
    mlp_input = Normalize(d, m, names.before_mlp, d.parallel ? x : sum);
  if (d.experts && d.experts->Has(layer)) {
    h = MixtureOfExperts(*d.experts, m, mlp_input, d.activation, d.residual_factor);
  } else {
    h = Mlp(d, d.names.mlp.empty() ? m : m[d.names.mlp], mlp_input);
  }
  h = Normalize(d, m, names.after_mlp, h);
  return g.Add(m.Name("mlp_residual"), d.adds_normed ? mlp_input : sum, h);
}

}  // namespace graft::converter
