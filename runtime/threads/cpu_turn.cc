// SPDX-License-Identifier: Apache-2.0
#include "runtime/threads/cpu_turn.h"

#include <sched.h>
#include <sys/resource.h>
#include <time.h>

namespace graft::runtime {
namespace {

// Others get at least this; nothing else takes so long that should not.
constexpr uint64_t kGivenNs = 300'000;
// No task longer than this is kept from a tick: that would cost more than it saves.
constexpr uint64_t kLongestTaskNs = 300'000;
// What a tick itself takes, and how well it is foreseen.
constexpr uint64_t kMarginNs = 80'000;
// A wait for a thread that runs is shorter.
constexpr uint64_t kPatienceNs = 300'000;
// After this long without others the CPU is a thread's own again.
constexpr uint64_t kForgetNs = 100'000'000;

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t ReadNs(clockid_t clock) {
  timespec time = {};
  clock_gettime(clock, &time);
  return Nanoseconds(time);
}
uint64_t NowNs() { return ReadNs(CLOCK_MONOTONIC); }

#ifdef __linux__

uint64_t CoarseNs() { return ReadNs(CLOCK_MONOTONIC_COARSE); }

uint64_t TickNs() {
  timespec tick = {};
  clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  return std::max<uint64_t>(1, Nanoseconds(tick));
}

// How often the system took the CPU from this thread.
int64_t CountSwitches() {
  rusage usage = {};
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

#else  // a CPU is never found to be shared

uint64_t CoarseNs() { return NowNs(); }
uint64_t TickNs() { return 1; }
int64_t CountSwitches() { return 0; }

#endif

}  // namespace

void CpuTurn::StayOnCpu() {
  if (!own_cpu_.empty() && !stay_) stay_.emplace(own_cpu_);
}

bool CpuTurn::WaitsShortly() const { return NowNs() - began_ns_ < kPatienceNs; }

void CpuTurn::Offer() {
  began_ns_ = NowNs();
  const uint64_t left_ns = ticks_.LeftNs(began_ns_, CoarseNs());
  if (left_ns > std::min(task_ns_, kLongestTaskNs) + kMarginNs) return;
  sched_yield();
  const uint64_t back_ns = NowNs();
  if (back_ns - began_ns_ >= kGivenNs) last_shared_ns_ = back_ns;
  began_ns_ = back_ns;
}

void CpuTurn::Look() {
  if (!shared_) {
    const int64_t switches = CountSwitches();
    shared_ = switches != switches_;
    switches_ = switches;
    if (!shared_) return;
    ticks_.Reset(TickNs());
    last_shared_ns_ = began_ns_ = NowNs();
    task_ns_ = 0;
    StayOnCpu();
    return;
  }
  const uint64_t now_ns = NowNs();
  const uint64_t took_ns = now_ns - began_ns_;
  if (took_ns >= kGivenNs) {
    const int64_t switches = CountSwitches();
    if (switches != switches_) {
      switches_ = switches;
      last_shared_ns_ = now_ns;
      return;
    }
  }
  task_ns_ = std::max(took_ns, task_ns_ - task_ns_ / 64);
  if (now_ns - last_shared_ns_ < kForgetNs) return;
  shared_ = false;
  switches_ = CountSwitches();
  EndPass();
}

}  // namespace graft::runtime
