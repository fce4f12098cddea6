// SPDX-License-Identifier: Apache-2.0
// Speech into text: windows of sound through an encoder-decoder, one after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/session/session.h"
#include "runtime/tasks/sampler.h"
#include "runtime/tasks/text_model.h"
#include "schema/result.h"

namespace graft::runtime {

struct TranscribeOptions {
  std::string language;     ///< empty: the one heard in the first window, if the model has any
  bool translate = false;   ///< into English
  bool timestamps = false;  ///< the model writes the times of what is said
  SamplingOptions sampling;
};

/// Called with text that became certain, whole UTF-8 characters only, and from when to when it was
/// said in seconds: of a phrase with timestamps, else of its window. Returns whether to go on.
using TranscriptCallback = std::function<bool(double begin_s, double end_s, std::string_view text)>;

struct TranscribeResult {
  std::string language;  ///< empty: the model has none
  size_t windows = 0;
  size_t generated_tokens = 0;
  uint64_t features_ns = 0;  ///< computing spectrograms
  uint64_t encoder_ns = 0;
  uint64_t decoder_ns = 0;
};

/// Samples a second of the sound that a model takes; 0: it takes none.
uint32_t SampleRateOf(const Model& model);

/// Writes down what is said in `samples`, between -1 and 1, of one channel at SampleRateOf. What the
/// session held is forgotten.
/// Errors   kUnsupported: the model takes no sound, or has no such task or timestamps;
///          kFailedPrecondition: no tokenizer;
///          kInvalidArgument: no samples, a language or sampling option that there is not;
///          those of Session::SetSource and Session::Append.
Result<TranscribeResult> Transcribe(Session& session, const TextModel& model,
                                    std::span<const float> samples,
                                    const TranscribeOptions& options,
                                    const TranscriptCallback& callback);

}  // namespace graft::runtime
