// SPDX-License-Identifier: Apache-2.0
// CpuTurn: a thread that shares its CPU with other processes offers it to them between tasks, before
// the system takes it within one.
//
// All threads of a team wait for a task whose thread was put aside, for some milliseconds each
// time. Nobody waits for a thread that gave the CPU away while it held no task. Systems share a CPU
// out at the ticks of their clock, so the end of a turn can be foreseen.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "runtime/platform/cpus.h"

namespace graft::runtime {

/// When the next tick comes. The coarse clock goes on by one tick at each, but stands behind by a
/// part of one, always the same, which shows in the least distance of the two clocks.
class TickForecast {
 public:
  void Reset(uint64_t tick_ns) {
    tick_ns_ = tick_ns;
    least_behind_ns_ = UINT64_MAX - 1;
  }
  /// Nanoseconds until the next tick, at most a tick.
  /// Requires Reset with a tick of at least 1. Both clocks were read one right after the other.
  uint64_t LeftNs(uint64_t now_ns, uint64_t coarse_ns) {
    const uint64_t behind_ns = now_ns - std::min(now_ns, coarse_ns);
    least_behind_ns_ = std::min(least_behind_ns_ + 1, behind_ns);  // clocks are adjusted slowly
    return tick_ns_ - (behind_ns - least_behind_ns_) % tick_ns_;
  }

 private:
  uint64_t tick_ns_ = 1;
  uint64_t least_behind_ns_ = 0;
};

/// For one thread of a team. While it shares its CPU it also stays on one, if it was given one of
/// its own: the system would move threads of a team onto each other's CPUs.
class CpuTurn {
 public:
  /// A CPU for this thread alone among those of its team; empty: none.
  void set_own_cpu(CpuSet cpu) { own_cpu_ = std::move(cpu); }

  /// Around the tasks of a pass.
  void BeginPass() {
    if (shared_) StayOnCpu();
  }
  void EndPass() { stay_.reset(); }

  /// To be called when the thread holds no task, before it takes one.
  /// Cost     a branch, while nobody else wants the CPU; else it reads clocks, and near a tick others
  ///          run first.
  void BeforeTask() {
    if (shared_) Offer();
  }
  /// To be called after each task.
  /// Cost     an addition, while nobody else wants the CPU; now and then a system call.
  void AfterTask() {
    if (shared_ || ++tasks_ % kTasksBetweenLooks == 0) Look();
  }
  /// Whether to go on waiting for other threads without offering the CPU.
  bool IsPatient() const { return stay_.has_value() && WaitsShortly(); }

 private:
  static constexpr uint32_t kTasksBetweenLooks = 128;

  void Offer();
  void Look();
  void StayOnCpu();
  bool WaitsShortly() const;

  CpuSet own_cpu_;
  std::optional<PinnedThread> stay_;
  uint32_t tasks_ = 0;
  bool shared_ = false;   // others have had this CPU lately
  int64_t switches_ = 0;  // how often it was taken away, when last looked at
  TickForecast ticks_;
  uint64_t last_shared_ns_ = 0;  // when others had the CPU last
  uint64_t began_ns_ = 0;        // when the task, or the wait for one, began
  uint64_t task_ns_ = 0;         // how long tasks take, rather too long
};

}  // namespace graft::runtime
