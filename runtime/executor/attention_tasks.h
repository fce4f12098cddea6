// SPDX-License-Identifier: Apache-2.0
// AttentionTasks: divides attention steps between the threads of a team, by heads and rows, or over
// the context where there are too few of them, and runs the parts.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/page_memory.h"
#include "runtime/executor/attention_scratch.h"
#include "runtime/executor/step_state.h"
#include "schema/status.h"

namespace graft::runtime {

class AttentionTasks {
 public:
  /// Sets aside memory.
  /// Errors   kOutOfMemory.
  Status Create(const AttentionScratch& scratch, unsigned workers);

  /// Divides this call's attention into tasks; returns how many.
  uint32_t Plan(const CallState& call, StepState& s) const;

  /// Computes one of them. Any number of them may run at once, each as another worker. Allocates
  /// nothing.
  void Run(const CallState& call, const StepState& s, uint32_t task, unsigned worker);

  /// After a call that was cancelled: parts of a head may be missing, and nobody put the others
  /// together.
  void Abandon();

  /// Gives the memory's pages back; they come again as they are used.
  void Trim() { memory_.Discard(0, memory_.size()); }

 private:
  size_t workers_ = 1;
  PageMemory memory_;  // each worker's scratch, then the partial results of split heads
  AttentionScratch scratch_;
  std::unique_ptr<std::atomic<uint32_t>[]> splits_done_;  // for each key/value head
};

}  // namespace graft::runtime
