// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/decoder_parts.h"

#include "schema/generated/model_generated.h"

namespace graft::converter {

RopeShape AddRope(GraphBuilder& graph, std::string_view name, const RopeFrequencies& frequencies,
                  int64_t head_dim) {
  RopeShape rope;
  rope.head_dim = head_dim;
  rope.rotary_dim = static_cast<int64_t>(2 * frequencies.inverse.size());
  rope.magnitude = frequencies.magnitude;
  rope.inverse_frequencies = graph.Literal(name, frequencies.inverse);
  return rope;
}

ValueId Attend(const Module& module, ValueId query, ValueId key, ValueId value, ValueId positions,
               const AttentionShape& shape, const std::optional<RopeShape>& rope) {
  GraphBuilder& graph = module.graph();
  if (rope) {
    query = graph.Rope(module.Name("q_rope"), query, positions, *rope);
    key = graph.Rope(module.Name("k_rope"), key, positions, *rope);
  }
  return graph.CachedAttention(module.path(), query, key, value, positions, shape);
}

ValueId GatedMlp(const Module& module, ValueId x, int64_t hidden,
                 schema::fb::ActivationKind activation, bool bias, double down_factor) {
  GraphBuilder& graph = module.graph();
  const int64_t width = graph.Width(x);
  const ValueId gate = module.Linear("gate_proj", x, hidden, bias);
  const ValueId up = module.Linear("up_proj", x, hidden, bias);
  const ValueId gated = graph.GatedActivation(module.Name("act"), gate, up, activation);
  return module.Linear("down_proj", gated, width, bias, down_factor);
}

TensorId HeadMatrix(GraphBuilder& graph, bool tied, const std::string& head,
                    const std::string& embedding, int64_t vocabulary, int64_t hidden) {
  const std::string head_weight = head + ".weight";
  const std::string embedding_weight = embedding + ".weight";
  // A tied model may store its head all the same, and an adapter that changed one of the two
  // matrices unties them.
  const bool untied = !tied || (graph.Has(head_weight) && (graph.IsAdapted(head_weight) ||
                                                           graph.IsAdapted(embedding_weight)));
  return graph.Matrix(untied ? head_weight : embedding_weight, vocabulary, hidden);
}

void OutputLogits(GraphBuilder& graph, ValueId x, TensorId head, float soft_cap) {
  if (soft_cap == 0.0f) return graph.Output(graph.Linear("logits", x, head));
  x = graph.Scale("logits_within_cap", graph.Linear("logits_before_cap", x, head), 1.0f / soft_cap);
  x = graph.Activation("logits_capped", x, schema::fb::ActivationKind::Tanh);
  graph.Output(graph.Scale("logits", x, soft_cap));
}

}  // namespace graft::converter
