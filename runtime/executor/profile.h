// SPDX-License-Identifier: Apache-2.0
// Profile: where the time of a computation goes, by kind of step.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/plan/plan.h"

namespace graft::runtime {

/// What all steps of one kind took.
struct StepTotals {
  uint64_t calls = 0;
  uint64_t wall_ns = 0;       ///< the kinds' wall times add up to that of the passes
  uint64_t busy_ns = 0;       ///< summed over threads
  uint64_t weight_bytes = 0;  ///< packed weights that were read, once a call
};

/// Filled in by an executor while it runs. AddBusy may come from any of its threads, the rest from
/// one at a time, with the stages' order between them.
class Profile {
 public:
  static constexpr size_t kKinds = static_cast<size_t>(StepKind::kPoolPixels) + 1;

  static uint64_t NowNs();

  void Clear();
  void StartPass() { stage_started_ns_ = NowNs(); }
  /// Says that a thread was busy with a step of this kind from `since_ns` to now; returns now.
  uint64_t AddBusy(StepKind kind, uint64_t since_ns);
  void AddCall(StepKind kind, uint64_t weight_bytes);
  /// Shares the wall time since the last stage out among the kinds that were busy in it, in
  /// proportion.
  void FinishStage();

  const StepTotals& totals(StepKind kind) const { return totals_[static_cast<size_t>(kind)]; }

 private:
  std::array<StepTotals, kKinds> totals_ = {};
  std::array<std::atomic<uint64_t>, kKinds> stage_busy_ns_ = {};
  uint64_t stage_started_ns_ = 0;
};

}  // namespace graft::runtime
