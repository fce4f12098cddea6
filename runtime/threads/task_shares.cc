// SPDX-License-Identifier: Apache-2.0
#include "runtime/threads/task_shares.h"

#include <new>

namespace graft::runtime {
namespace {

constexpr uint64_t Range(uint32_t begin, uint32_t end) { return uint64_t{begin} << 32 | end; }
constexpr uint32_t BeginOf(uint64_t range) { return static_cast<uint32_t>(range >> 32); }
constexpr uint32_t EndOf(uint64_t range) { return static_cast<uint32_t>(range); }

uint32_t ShareBegin(unsigned worker, unsigned workers, uint32_t count) {
  return static_cast<uint32_t>(uint64_t{count} * worker / workers);
}

}  // namespace

Status TaskShares::Create(unsigned workers) {
  shares_.reset(new (std::nothrow) Share[workers]);
  if (!shares_) return Error(StatusCode::kOutOfMemory, "cannot allocate shares of %u", workers);
  workers_ = workers;
  return OkStatus();
}

void TaskShares::Divide(uint32_t count) {
  for (unsigned worker = 0; worker < workers_; ++worker) {
    shares_[worker].left.store(
        Range(ShareBegin(worker, workers_, count), ShareBegin(worker + 1, workers_, count)),
        std::memory_order_relaxed);
  }
}

uint32_t TaskShares::Take(unsigned worker) {
  // A share that was found empty stays so, and there is a task for each call: one round will do.
  for (unsigned i = 0;; ++i) {
    const unsigned owner = (worker + i) % workers_;
    std::atomic<uint64_t>& left = shares_[owner].left;
    uint64_t range = left.load(std::memory_order_relaxed);
    while (BeginOf(range) < EndOf(range)) {
      const uint64_t rest = owner == worker ? Range(BeginOf(range) + 1, EndOf(range))
                                            : Range(BeginOf(range), EndOf(range) - 1);
      if (left.compare_exchange_weak(range, rest, std::memory_order_relaxed)) {
        return owner == worker ? BeginOf(range) : EndOf(range) - 1;
      }
    }
  }
}

uint32_t TaskShares::FirstOf(unsigned worker, uint32_t count) const {
  const uint32_t begin = ShareBegin(worker, workers_, count);
  return begin < ShareBegin(worker + 1, workers_, count) ? begin : count;
}

}  // namespace graft::runtime
