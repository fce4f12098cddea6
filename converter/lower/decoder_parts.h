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

/// down(activation(gate(x)) * up(x)). `down_factor` multiplies the result. Source   Shazeer 2020.
ValueId GatedMlp(const Module& module, ValueId x, int64_t hidden,
                 schema::fb::ActivationKind activation, bool bias, double down_factor = 1.0);

/// The matrix of the output head: "head.weight", or the embedding itself where `tied` says so and
/// no adapter changed one of the two.
TensorId HeadMatrix(GraphBuilder& graph, bool tied, const std::string& head,
                    const std::string& embedding, int64_t vocabulary, int64_t hidden);

/// Makes `logits` the model's output, after cap * tanh(logits / cap) if `soft_cap` is not 0.
void OutputLogits(GraphBuilder& graph, ValueId x, TensorId head, float soft_cap = 0.0f);

}  // namespace graft::converter
