// SPDX-License-Identifier: Apache-2.0
// Profile: where the time of a computation goes, by step.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::runtime {

/// What a step took, or all steps of a kind.
struct StepTotals {
  uint64_t calls = 0;
  uint64_t wall_ns = 0;       ///< the steps' wall times add up to that of the passes
  uint64_t busy_ns = 0;       ///< summed over threads
  uint64_t weight_bytes = 0;  ///< packed weights that were read, once a call
};

/// Filled in by an executor while it runs. AddBusy may come from any of its threads, the rest from
/// one at a time, with the stages' order between them.
class Profile {
 public:
  static uint64_t NowNs();

  /// Starts from nothing, for a plan of `steps` steps.
  void Clear(size_t steps);
  void StartPass() { stage_started_ns_ = NowNs(); }
  /// Says that a thread was busy with a step from `since_ns` to now; returns now.
  uint64_t AddBusy(uint32_t step, uint64_t since_ns);
  void AddCall(uint32_t step, uint64_t weight_bytes);
  /// Shares the wall time since the last stage out among the stage's steps, in proportion to the
  /// time that threads were busy with each.
  void FinishStage(std::span<const uint32_t> steps);

  /// For each step of the plan; none before the first Clear.
  std::span<const StepTotals> totals() const { return totals_; }

 private:
  std::vector<StepTotals> totals_;
  std::vector<std::atomic<uint64_t>> stage_busy_ns_;  // for each step
  uint64_t stage_started_ns_ = 0;
};

}  // namespace graft::runtime
