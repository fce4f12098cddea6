// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/profile.h"

#include <chrono>

namespace graft::runtime {

uint64_t Profile::NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

void Profile::Clear() {
  totals_ = {};
  for (std::atomic<uint64_t>& busy : stage_busy_ns_) busy.store(0, std::memory_order_relaxed);
}

uint64_t Profile::AddBusy(StepKind kind, uint64_t since_ns) {
  const uint64_t now = NowNs();
  stage_busy_ns_[static_cast<size_t>(kind)].fetch_add(now - since_ns, std::memory_order_relaxed);
  return now;
}

void Profile::AddCall(StepKind kind, uint64_t weight_bytes) {
  StepTotals& totals = totals_[static_cast<size_t>(kind)];
  ++totals.calls;
  totals.weight_bytes += weight_bytes;
}

void Profile::FinishStage() {
  const uint64_t now = NowNs();
  const uint64_t wall = now - stage_started_ns_;
  stage_started_ns_ = now;
  std::array<uint64_t, kKinds> busy;
  uint64_t all = 0;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    busy[kind] = stage_busy_ns_[kind].exchange(0, std::memory_order_relaxed);
    all += busy[kind];
  }
  if (all == 0) return;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    // In floating point: the product of two times may not fit.
    totals_[kind].wall_ns += static_cast<uint64_t>(
        static_cast<double>(wall) * static_cast<double>(busy[kind]) / static_cast<double>(all));
    totals_[kind].busy_ns += busy[kind];
  }
}

}  // namespace graft::runtime
