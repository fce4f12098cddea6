// SPDX-License-Identifier: Apache-2.0
// The options of commands that generate: how tokens are chosen, and when to stop.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

inline constexpr uint64_t kMaxContextTokens = uint64_t{1} << 24;

struct SamplingOptions {
  uint64_t max_tokens;
  double temperature = 0;
  uint64_t top_k = 0;
  double top_p = 0;
  double min_p = 0;
  double repeat_penalty = 0;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  uint64_t seed = 0;
  std::vector<std::string> stop;
  std::vector<std::string> logit_bias;   // ID=BIAS
  std::vector<graft_token_bias> biases;  // the same, after Check

  explicit SamplingOptions(uint64_t default_max_tokens) : max_tokens(default_max_tokens) {}

  void AddTo(Options* options);
  /// What is wrong with them; empty if nothing is.
  std::string Check();
  /// As graft.h's options, which point to *stop_strings and to the strings here.
  graft_generate_options ToGenerateOptions(std::vector<const char*>* stop_strings) const;
};

/// What JSON calls a reason of graft.h.
const char* StopReasonName(int32_t reason);

}  // namespace graft_run
