// SPDX-License-Identifier: Apache-2.0
// TimestampRules: which of Whisper's tokens may come next where times are written among the words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::runtime {

/// Times are tokens from `first` on, each 0.02 seconds after the one before. They come in pairs, and
/// never go back.
class TimestampRules {
 public:
  /// no_timestamps: the token that says there are none, -1: there is no such; most_initial: times
  /// that may come first, counted from 0.
  TimestampRules(uint32_t first, int32_t no_timestamps, std::span<const uint32_t> end_tokens,
                 uint32_t most_initial = 50)
      : first_(first),
        no_timestamps_(no_timestamps),
        end_tokens_(end_tokens),
        most_initial_(most_initial) {}

  /// Puts aside what may not follow `generated`.
  /// Source   Radford et al. 2022; transformers' WhisperTimeStampLogitsProcessor.
  void Apply(std::span<const int32_t> generated, std::span<float> logits) const;

 private:
  bool IsTime(int32_t id) const { return id >= static_cast<int32_t>(first_); }

  uint32_t first_;
  int32_t no_timestamps_;
  std::span<const uint32_t> end_tokens_;
  uint32_t most_initial_;
};

}  // namespace graft::runtime
