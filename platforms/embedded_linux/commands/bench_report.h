// SPDX-License-Identifier: Apache-2.0
// What graft-run bench found, and how it is shown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/machine/machine.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {

struct BenchSettings {
  std::string file;
  uint64_t prompt = 128;
  uint64_t generate = 64;
  uint64_t depth = 0;
  ThreadOptions threads;
  uint64_t repetitions = 5;
  int32_t kv_format = GRAFT_KV_AUTO;
  bool profile = false;
  bool json = false;
};

/// Tokens a second.
struct Rates {
  double median = 0;
  double low = 0;
  double high = 0;
};
Rates RatesOf(std::vector<double> rates);

/// One run of generation.
struct GenerationRound {
  double tokens_per_second = 0;
  double read_bandwidth = 0;  ///< bytes a second; 0: not measured
};

/// One measured pass by kind of step, longest first. elapsed_ns is more than the steps take
/// together by what lies between them.
struct StepProfile {
  uint64_t tokens = 0;
  uint64_t elapsed_ns = 0;
  std::vector<graft_step_time> steps;
};

struct BenchFigures {
  graft_model_info model = {};
  graft_session_info session = {};
  double load_ms = 0;         ///< process's first call to a session that is ready
  double first_token_ms = 0;  ///< from the same start
  Rates prompt;
  Rates generation;
  /// The runs of generation, each beside what the machine read right before and after.
  std::vector<GenerationRound> rounds;
  MemoryUse memory;
  StepProfile prompt_profile;
  StepProfile generation_profile;
};

/// Prints everything to stdout, as lines or as one JSON object.
void ShowBench(const BenchSettings& settings, const BenchFigures& figures);

}  // namespace graft_run
