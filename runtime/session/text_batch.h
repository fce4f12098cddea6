// SPDX-License-Identifier: Apache-2.0
// TextBatch: several texts as the rows of one computation, and their results as tensors again.
//
// Padding is not computed: tokens that an attention mask hides are left out, and texts lie in the
// rows one after the other. Each text's numbers are those it has alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/executor/executor.h"
#include "runtime/plan/plan.h"
#include "runtime/session/session.h"
#include "schema/result.h"

namespace graft::runtime {

struct TextBatch {
  std::vector<int32_t> ids;    ///< of all texts, one after the other
  std::vector<int32_t> types;  ///< token types, as many; empty: all 0
  std::vector<int32_t> ends;   ///< for each text the index behind its last id
  /// If the texts came as [texts, padded_tokens]: where in it each id was. Else padded_tokens is 0.
  std::vector<size_t> places;
  size_t padded_tokens = 0;
};

/// The texts of inputs named after the plan's token ids ([tokens], or [texts, tokens]) and token
/// types (of the same shape, may be missing), and "attention_mask" (of the same shape, may be
/// missing; 0 hides a token, whichever side of its text it is on).
/// Errors   kInvalidArgument: an input that is missing, unknown, misshapen or not i32, or a text
///          whose tokens are all hidden.
Result<TextBatch> PackTexts(const Plan& plan, std::span<const TensorView> inputs);

/// Computes the graph on the texts, some at a time, and fills *views, one for each output: [texts,
/// ...] where there is a row for each text; where there is one for each token [tokens, ...] without
/// those hidden, or [texts, padded_tokens, ...] with zeros for hidden tokens. *memory holds their
/// numbers.
/// Errors   kOutOfRange: an id, a token type, or a text longer than the model has positions for.
///          kCancelled, kOutOfMemory. Each text error says which text.
Status ForwardTexts(const Plan& plan, Executor& executor, const std::atomic<bool>& cancelled,
                    const TextBatch& batch, std::vector<TensorView>* views,
                    std::vector<PageMemory>* memory);

}  // namespace graft::runtime
