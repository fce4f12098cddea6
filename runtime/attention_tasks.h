// SPDX-License-Identifier: Apache-2.0
// AttentionTasks: divides attention steps between the threads of a team, by heads and rows, or over
// the context where there are too few of them, and runs the parts.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/page_memory.h"
#include "runtime/step_state.h"
#include "schema/status.h"

namespace graft::runtime {

class AttentionTasks {
 public:
  /// Sets aside memory for the attention steps among `states`. Errors   kOutOfMemory.
  Status Create(std::span<const StepState> states, unsigned workers);

  /// Divides this call's attention into tasks; returns how many.
  uint32_t Plan(const CallState& call, StepState& s) const;

  /// Computes one of them. Any number of them may run at once, each as another worker. Allocates
  /// nothing.
  void Run(const CallState& call, const StepState& s, uint32_t task, unsigned worker);

 private:
  size_t workers_ = 1;
  PageMemory scratch_;  // each worker's, then the partial results of split heads
  size_t worker_scratch_floats_ = 0;
  std::unique_ptr<std::atomic<uint32_t>[]> splits_done_;  // for each key/value head
};

}  // namespace graft::runtime
