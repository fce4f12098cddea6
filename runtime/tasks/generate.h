// SPDX-License-Identifier: Apache-2.0
// The loop that turns a prompt into text: run the model, choose a token, hand out its text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/session/session.h"
#include "runtime/tasks/constrained_text.h"
#include "runtime/tasks/log_probabilities.h"
#include "runtime/tasks/sampler.h"
#include "runtime/tasks/speculation.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/result.h"

namespace graft::runtime {

/// Called for each token, before the TokenCallback is.
using LogProbabilityCallback = std::function<void(const TokenLogProbabilities&)>;

struct GenerateOptions {
  uint32_t max_tokens = 0;  ///< 0: 256
  SamplingOptions sampling;
  std::vector<std::string> stop;  ///< the text ends before the first of these that appears
  bool ignore_end = false;        ///< go on after the model's end tokens
  /// The prompt is all that the session shall hold: what it begins with and the session holds
  /// already is not computed again, what else the session holds is forgotten.
  bool whole_prompt = false;
  /// Not null: what the text must be. Used up by the call.
  ConstrainedText* constraint = nullptr;
  bool shows_marks = false;  ///< special tokens that are marks of calls or thinking are in the text
  LogProbabilityCallback on_log_probabilities;  ///< empty: they are not computed
  size_t likeliest = 0;  ///< tokens that it is told of beside the one that was chosen
  /// What tokens are guessed by. The text is the same with and without.
  DraftOptions draft;
};

enum class StopReason : uint8_t {
  kEndToken,
  kStopString,
  kMaxTokens,
  kContext,
  kCallback,
  kComplete
};

struct GenerateResult {
  size_t prompt_tokens = 0;
  size_t reused_tokens = 0;  ///< of the prompt, that were held already
  size_t generated_tokens = 0;
  uint64_t prefill_ns = 0;
  uint64_t decode_ns = 0;
  size_t drafted_tokens = 0;   ///< guessed
  size_t accepted_tokens = 0;  ///< of them, that were right
  StopReason stop_reason = StopReason::kMaxTokens;
};

/// Called for each token with its id and the text that became certain, whole UTF-8 characters only,
/// and once with id -1 if text is left at the end. Returns whether to go on.
using TokenCallback = std::function<bool(int32_t id, std::string_view text)>;

/// Appends `prompt` to `session` and generates. An encoder-decoder needs no prompt: without one it
/// answers from the start, whatever the session held. An end token is neither handed out nor counted. The
/// last token handed out is not in the session yet: nothing has been computed after it. tokenizer
/// may be null: then all text is empty. callback may be empty.
/// Errors   those of Session::Append;
///          kInvalidArgument: an empty prompt, a sampling option out of its range, a bias of a token
///          that is none, stop strings without a tokenizer or that are not UTF-8, ignore_end with a
///          constraint;
///          those of ConstrainedText::Choose.
Result<GenerateResult> Generate(Session& session, const Tokenizer* tokenizer,
                                std::span<const int32_t> prompt, const GenerateOptions& options,
                                const TokenCallback& callback);

}  // namespace graft::runtime
