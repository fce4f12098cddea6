// SPDX-License-Identifier: Apache-2.0
// How fast each CPU is, by the time that a little arithmetic takes on it.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

#include "runtime/platform/cpus.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace graft::runtime {
namespace {

constexpr int kRuns = 5;
constexpr int kSteps = 8000;  // about 10 microseconds on a big core, so that few runs are disturbed
// Cores are of one to three kinds on machines that have kinds; servers of many are not measured.
constexpr size_t kMostMeasured = 32;

/// Products and sums that wait for each other by fours, as in kernels.
uint64_t Work(uint64_t seed) {
  uint64_t sums[4] = {seed, seed + 1, seed + 2, seed + 3};
  for (int i = 0; i < kSteps; i += 4) {
    for (uint64_t& sum : sums) sum = sum * 6364136223846793005u + 1442695040888963407u;
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

/// Of the CPU that the thread is on: work in a second.
uint32_t SpeedHere() {
  int64_t least_ns = INT64_MAX;
  uint64_t seed = 1;
  for (int i = 0; i < kRuns; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    seed = Work(seed);
    const auto took = std::chrono::steady_clock::now() - begin;
    least_ns = std::min<int64_t>(
        least_ns, std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
  }
  // The sum is used, so that it is computed; it is never 0 by chance alone.
  return static_cast<uint32_t>(1'000'000'000 / std::max<int64_t>(least_ns, 1)) +
         (seed == 0 ? 1 : 0);
}

bool IsOn(unsigned cpu) {
#ifdef __linux__
  return sched_getcpu() == static_cast<int>(cpu);
#else
  return cpu == 0;
#endif
}

}  // namespace

std::vector<uint32_t> MeasureCpuSpeeds(const CpuSet& cpus) {
  static std::mutex mutex;
  static CpuSet measured;
  static std::vector<uint32_t> speeds;
  if (cpus.size() > kMostMeasured) return {};
  const std::lock_guard<std::mutex> lock(mutex);
  if (measured == cpus) return speeds;
  std::vector<uint32_t> found;
  for (const unsigned cpu : cpus) {
    const PinnedThread pinned({cpu});
    if (!IsOn(cpu)) return {};
    found.push_back(SpeedHere());
  }
  measured = cpus;
  return speeds = std::move(found);
}

}  // namespace graft::runtime
