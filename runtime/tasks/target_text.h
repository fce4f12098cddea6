// SPDX-License-Identifier: Apache-2.0
// What an encoder-decoder answers to, and what its answers begin with and never hold.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/model/model.h"
#include "runtime/tasks/text_model.h"
#include "schema/result.h"

namespace graft::runtime {

/// The ids of a source text, with the token of its language where the model has languages; empty:
/// the model's own.
/// Errors   kUnsupported: the model takes no source text; kInvalidArgument: a language it does not
///          have; those of TextModel::Encode.
Result<std::vector<int32_t>> EncodeSource(const TextModel& model, std::string_view text,
                                          std::string_view language);

/// What is to be written about a sound.
struct SpeechTask {
  bool translate = false;  ///< into English
  bool timestamps = false;
};

/// What every target begins with, in `language`; empty: the model's own. speech: of a model that
/// takes sound.
/// Errors   kUnsupported: the model has no source; kInvalidArgument: a language it does not have.
Result<std::vector<int32_t>> StartTokens(const Model& model, std::string_view language,
                                         const SpeechTask& speech = {});

/// The token that a target ends with which is as long as it may be; -1: whichever is chosen.
int32_t ForcedEndToken(const Model& model);

/// Puts aside the tokens that are never chosen, or not as the first. Copies logits only where there
/// are any.
class TokenFilter {
 public:
  explicit TokenFilter(const Model& model);

  std::span<const float> Apply(std::span<const float> logits, bool is_first);

 private:
  std::span<const uint32_t> always_, first_;
  std::vector<float> allowed_;
};

}  // namespace graft::runtime
