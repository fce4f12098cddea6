// SPDX-License-Identifier: Apache-2.0
// How many threads help on this machine: the big cores among those this process may use.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "runtime/data_source.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace graft::runtime {

#ifdef __linux__
namespace {

constexpr unsigned kMaxCpus = 1024;
// Cores of less than this share of the strongest one's power slow a shared job down.
constexpr uint64_t kBigCorePercent = 60;

/// The number in /sys/devices/system/cpu/cpu`cpu`/`file`; 0 if there is none.
uint64_t ReadCpuNumber(unsigned cpu, const char* file) {
  char path[96];
  std::snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/%s", cpu, file);
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return 0;
  char text[32] = {};
  const ssize_t size = read(descriptor, text, sizeof(text) - 1);
  close(descriptor);
  return size <= 0 ? 0 : std::strtoull(text, nullptr, 10);
}

}  // namespace

unsigned DefaultThreads() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    return std::max(1u, std::thread::hardware_concurrency());
  }
  const auto count = static_cast<unsigned>(CPU_COUNT(&allowed));
  // The kernel's own measure where it has one (ARM), else the highest clock.
  for (const char* file : {"cpu_capacity", "cpufreq/cpuinfo_max_freq"}) {
    uint64_t strongest = 0;
    unsigned known = 0;
    uint64_t power[CPU_SETSIZE] = {};
    for (unsigned cpu = 0; cpu < std::min<unsigned>(CPU_SETSIZE, kMaxCpus); ++cpu) {
      if (!CPU_ISSET(cpu, &allowed)) continue;
      power[cpu] = ReadCpuNumber(cpu, file);
      strongest = std::max(strongest, power[cpu]);
      known += power[cpu] != 0;
    }
    if (known != count || count == 0) continue;
    const auto big = std::count_if(power, power + CPU_SETSIZE, [&](uint64_t cpu_power) {
      return cpu_power != 0 && cpu_power * 100 >= strongest * kBigCorePercent;
    });
    return static_cast<unsigned>(std::max<std::ptrdiff_t>(1, big));
  }
  return std::max(1u, count);
}

#else

unsigned DefaultThreads() { return std::max(1u, std::thread::hardware_concurrency()); }

#endif

}  // namespace graft::runtime
