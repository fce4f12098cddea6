// SPDX-License-Identifier: Apache-2.0
// Where threads may run, by Linux's affinity masks.
#include <algorithm>
#include <cstring>

#include "platforms/posix/small_file.h"
#include "runtime/platform/cpus.h"

#ifdef __linux__
#include <sched.h>
#endif

namespace graft::runtime {

#ifdef __linux__
namespace {

static_assert(sizeof(cpu_set_t) * 8 <= kMaxCpus);
static_assert(alignof(cpu_set_t) <= alignof(long));
constexpr auto kMaskCpus = static_cast<unsigned>(sizeof(cpu_set_t) * 8);

cpu_set_t MaskOf(const CpuSet& cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const unsigned cpu : cpus) {
    if (cpu < kMaskCpus) CPU_SET(cpu, &mask);
  }
  return mask;
}

/// CPUs by a file that holds a list of them; empty if there is none.
CpuSet CpusOf(const char* path) {
  std::string text = platform::ReadSmallFile(path);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  Result<CpuSet> cpus = ParseCpuList(text);
  return cpus.ok() ? std::move(cpus).value() : CpuSet();
}

bool Holds(const CpuSet& cpus, unsigned cpu) {
  return std::binary_search(cpus.begin(), cpus.end(), cpu);
}

}  // namespace

CpuSet UsableCpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CpuSet cpus;
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return cpus;
  for (unsigned cpu = 0; cpu < kMaskCpus; ++cpu) {
    if (CPU_ISSET(cpu, &mask)) cpus.push_back(cpu);
  }
  return cpus;
}

Status CheckAffinity(const CpuSet& cpus) {
  cpu_set_t before;
  if (sched_getaffinity(0, sizeof(before), &before) != 0)
    return Status(StatusCode::kUnsupported, "this system does not tell which CPUs may be used");
  const CpuSet present = CpusOf("/sys/devices/system/cpu/present");
  for (const unsigned cpu : cpus) {
    if (cpu >= kMaskCpus || (!present.empty() && !Holds(present, cpu)))
      return Error(StatusCode::kInvalidArgument, "CPU %u does not exist; there are %s", cpu,
                   CpuListText(present.empty() ? UsableCpus() : present).c_str());
  }
  // The kernel narrows a mask to what the process may have, so what it leaves out can be read back.
  const cpu_set_t wanted = MaskOf(cpus);
  CpuSet granted;
  if (sched_setaffinity(0, sizeof(wanted), &wanted) == 0) {
    granted = UsableCpus();
    sched_setaffinity(0, sizeof(before), &before);
  }
  const CpuSet online = CpusOf("/sys/devices/system/cpu/online");
  for (const unsigned cpu : cpus) {
    const bool is_off = !online.empty() && !Holds(online, cpu);
    if (Holds(granted, cpu) || (is_off && !granted.empty())) continue;
    return Error(
        StatusCode::kInvalidArgument, "CPU %u %s", cpu,
        is_off ? "is off, and so are all others of the list" : "may not be used by this process");
  }
  return OkStatus();
}

PinnedThread::PinnedThread(const CpuSet& cpus) {
  if (cpus.empty()) return;
  cpu_set_t before;
  if (sched_getaffinity(0, sizeof(before), &before) != 0) return;
  const cpu_set_t wanted = MaskOf(cpus);
  if (CPU_EQUAL(&before, &wanted)) return;
  if (sched_setaffinity(0, sizeof(wanted), &wanted) != 0) return;
  std::memcpy(before_, &before, sizeof(before));
  is_pinned_ = true;
}

PinnedThread::~PinnedThread() {
  if (!is_pinned_) return;
  cpu_set_t before;
  std::memcpy(&before, before_, sizeof(before));
  sched_setaffinity(0, sizeof(before), &before);
}

#else

CpuSet UsableCpus() { return {}; }

Status CheckAffinity(const CpuSet&) {
  return Status(StatusCode::kUnsupported, "threads cannot be kept on CPUs by this system");
}

PinnedThread::PinnedThread(const CpuSet&) {}
PinnedThread::~PinnedThread() = default;

#endif

}  // namespace graft::runtime
