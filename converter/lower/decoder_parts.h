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

/// What a decoder's last rows become.
enum class DecoderHead : uint8_t { kLogits, kScores, kEmbedding };

/// What a decoder computes from.
struct DecoderInputs {
  explicit DecoderInputs(GraphBuilder& graph, DecoderHead decoder_head = DecoderHead::kLogits);

  DecoderHead head;
  ValueId ids;
  ValueId positions;
  ValueId output_rows;  ///< None for an embedding, which is made of all rows of a text.
  ValueId text_ends;    ///< Of an embedding alone.

  /// The rows of `x` that the head is for.
  ValueId HeadRows(GraphBuilder& graph, ValueId x) const;
};

/// The inputs for the head that `architectures` names. Files beside the model that pool rows make
/// an embedding of it, as the bare model does.
/// Errors   kUnsupported: another head, by name.
Result<DecoderInputs> AddDecoderInputs(const JsonValue& config, GraphBuilder& graph,
                                       const TaskDescription& task);

/// The module of a model's layers: checkpoints of the bare model leave its own name, `family`, out.
/// `embedding` is the name of its embedding.
Module ModelModule(GraphBuilder& graph, std::string_view family, std::string_view embedding);

/// Frequencies as a tensor called `name`, for heads of `head_dim`.
RopeShape AddRope(GraphBuilder& graph, std::string_view name, const RopeFrequencies& frequencies,
                  int64_t head_dim);

/// Causal attention, named after `module`: over a cache or, in a graph that takes several texts,
/// of each text by itself. Query and key are rotated first if there is a `rope`.
ValueId Attend(const Module& module, ValueId query, ValueId key, ValueId value, ValueId positions,
               const AttentionShape& shape, const std::optional<RopeShape>& rope);

/// down(activation(gate(x)) * up(x)). `down_factor` multiplies the result.
/// Source   Shazeer 2020.
ValueId GatedMlp(const Module& module, ValueId x, int64_t hidden,
                 schema::fb::ActivationKind activation, bool bias, double down_factor = 1.0);

/// Where a model's logits come from.
struct LanguageHead {
  std::string weight;     ///< Of the head, such as "lm_head.weight".
  std::string embedding;  ///< The head's weight if `tied` and there is no head of its own.
  int64_t vocabulary = 0;
  bool tied = false;
  bool bias = false;           ///< "lm_head.bias" is added.
  float soft_cap = 0.0f;       ///< 0: none; else logits become cap * tanh(logits / cap).
  int64_t usual_padding = -1;  ///< pad_token_id of files that do not mention it; -1: none.
};

/// Ends the model behind its last norm: logits; or the scores that "score.weight" [labels, hidden]
/// gives for the last token that is not pad_token_id; or an embedding by task->pooling.
Status AddHead(const JsonValue& config, GraphBuilder& graph, ValueId x, const DecoderInputs& inputs,
               const LanguageHead& head, TaskDescription* task);

}  // namespace graft::converter
