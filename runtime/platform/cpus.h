// SPDX-License-Identifier: Apache-2.0
// Which cores this process may use, which of them are big, and how a thread is kept on some of
// them. platforms/ implements it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::runtime {

/// Numbers of CPUs as the system counts them, ascending, each once, below kMaxCpus.
using CpuSet = std::vector<unsigned>;
inline constexpr unsigned kMaxCpus = 1024;

/// "0-3,6": the system's own way to write CPUs down.
/// Errors   kInvalidArgument (anything else, an empty list, a number that is not below kMaxCpus).
Result<CpuSet> ParseCpuList(std::string_view text);
std::string CpuListText(const CpuSet& cpus);

/// Cores of one kind, and of equal power.
struct CpuGroup {
  CpuSet cpus;
  std::string name;       ///< "Cortex-A76"; "" if the system does not tell
  uint32_t capacity = 0;  ///< the kernel's measure, 1024 for the strongest core; 0: it has none
  uint64_t max_khz = 0;   ///< highest clock; 0: unknown
  bool is_big = true;     ///< strong enough to share work with the strongest
};

struct CpuTopology {
  std::vector<CpuGroup> groups;  ///< the strongest first
  uint32_t quota_cpus = 0;       ///< cores' worth of time that control groups allow; 0: no limit
  uint32_t default_threads = 1;  ///< all big cores, within the quota
};

/// CPUs that are on and that this process may use; empty if the system does not tell.
CpuSet UsableCpus();

/// How fast each of `cpus` is, by any measure that is one for all; empty if the system lets nobody
/// try. Costs some 0.1 ms a CPU, once in a process.
std::vector<uint32_t> MeasureCpuSpeeds(const CpuSet& cpus);

/// What the files below `root` ("": the machine's own) say of `usable`. What cannot be read is left
/// out. Cores that differ are measured by `measure` (null: not) where the kernel has no measure of
/// its own; without any measure of power all are taken to be equal.
CpuTopology ReadCpuTopology(const CpuSet& usable, const char* root = "",
                            std::vector<uint32_t> (*measure)(const CpuSet&) = MeasureCpuSpeeds);

/// How many threads help by default: default_threads of this machine's topology. At least 1.
unsigned DefaultThreads();

/// Whether threads may be kept on `cpus`. A core that is off for now is no error as long as another
/// one is on.
/// Errors   kInvalidArgument (a CPU that does not exist, or that this process may not use, by
///          number), kUnsupported (the system has no such thing).
Status CheckAffinity(const CpuSet& cpus);

/// While it lives, the calling thread runs on `cpus` only; then where it ran before. An empty set
/// changes nothing, and so does one that the system has come to refuse. Allocates nothing.
class PinnedThread {
 public:
  explicit PinnedThread(const CpuSet& cpus);
  ~PinnedThread();
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;

 private:
  bool is_pinned_ = false;
  alignas(long) unsigned char before_[kMaxCpus / 8];
};

}  // namespace graft::runtime
