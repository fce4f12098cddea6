// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/profile.h"

#include <chrono>
#include <utility>

namespace graft::runtime {

uint64_t Profile::NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

void Profile::Clear(size_t steps) {
  std::vector<std::atomic<uint64_t>> stage_busy_ns(steps);
  totals_.assign(steps, {});
  stage_busy_ns_ = std::move(stage_busy_ns);
}

uint64_t Profile::AddBusy(uint32_t step, uint64_t since_ns) {
  const uint64_t now = NowNs();
  stage_busy_ns_[step].fetch_add(now - since_ns, std::memory_order_relaxed);
  return now;
}

void Profile::AddCall(uint32_t step, uint64_t weight_bytes) {
  StepTotals& totals = totals_[step];
  ++totals.calls;
  totals.weight_bytes += weight_bytes;
}

void Profile::FinishStage(std::span<const uint32_t> steps) {
  const uint64_t now = NowNs();
  const uint64_t wall = now - stage_started_ns_;
  stage_started_ns_ = now;
  uint64_t all = 0;
  for (const uint32_t step : steps) all += stage_busy_ns_[step].load(std::memory_order_relaxed);
  if (all == 0) return;
  for (const uint32_t step : steps) {
    const uint64_t busy = stage_busy_ns_[step].exchange(0, std::memory_order_relaxed);
    // In floating point: the product of two times may not fit.
    totals_[step].wall_ns += static_cast<uint64_t>(
        static_cast<double>(wall) * static_cast<double>(busy) / static_cast<double>(all));
    totals_[step].busy_ns += busy;
  }
}

}  // namespace graft::runtime
