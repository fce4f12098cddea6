// SPDX-License-Identifier: Apache-2.0
// What decoders have in common: their inputs, attention over a cache, MLPs, and the head that gives
// logits.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "converter/lower/lowering.h"
#include "converter/lower/module.h"
#include "converter/lower/rope.h"

namespace graft::converter {

/// What a decoder computes from.
struct DecoderInputs {
  explicit DecoderInputs(GraphBuilder& graph)
      : ids(graph.TokenIds()), positions(graph.Positions()), output_rows(graph.OutputRows()) {}
  ValueId ids;
  ValueId positions;
  ValueId output_rows;
};

/// Frequencies as a tensor called `name`, for heads of `head_dim`.
RopeShape AddRope(GraphBuilder& graph, std::string_view name, const RopeFrequencies& frequencies,
                  int64_t head_dim);

/// Causal attention with a cache, named after `module`; query and key are rotated first if there is
/// a `rope`.
ValueId Attend(const Module& module, ValueId query, ValueId key, ValueId value, ValueId positions,
               const AttentionShape& shape, const std::optional<RopeShape>& rope);

/// down(activation(gate(x)) * up(x)). `down_factor` multiplies the result.
/// Source   Shazeer 2020.
ValueId GatedMlp(const Module& module, ValueId x, int64_t hidden,
                 schema::fb::ActivationKind activation, bool bias, double down_factor = 1.0);

/// Where a model's logits come from.
struct LanguageHead {
  std::string weight;     ///< Of the head, such as "lm_head.weight".
  std::string embedding;  ///< The head's weight if `tied`, unless an adapter changed one of them.
  int64_t vocabulary = 0;
  bool tied = false;
  float soft_cap = 0.0f;  ///< 0: none; else logits become cap * tanh(logits / cap).
};

/// Ends the model behind its last norm, as `architectures` says: logits; or, for sequence
/// classification, the scores that "score.weight" [labels, hidden] gives.
/// Errors   kUnsupported: another head, by name.
Status AddHead(const JsonValue& config, GraphBuilder& graph, ValueId x, const LanguageHead& head,
               TaskDescription* task);

}  // namespace graft::converter
