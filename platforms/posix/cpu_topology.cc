// SPDX-License-Identifier: Apache-2.0
// Cores by power, and how many of them are worth a thread, from what Linux says in files.
#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "platforms/posix/cpu_name.h"
#include "platforms/posix/small_file.h"
#include "runtime/platform/cpus.h"

namespace graft::runtime {
namespace {

using platform::ReadSmallFile;

// Cores of less than this share of the strongest one's power slow a shared job down. Little cores
// have a third, at most half of a big one's; the middle ones of phones with three kinds 58 to 85 %.
constexpr uint64_t kBigCorePercent = 55;
constexpr size_t kMostCpuInfoBytes = size_t{1} << 20;

/// 0 if there is none.
uint64_t ReadNumber(const std::string& path) {
  const std::string text = ReadSmallFile(path, 64);
  return std::min<uint64_t>(std::strtoull(text.c_str(), nullptr, 10), UINT32_MAX);
}

/// The quota of one control group in millionths of a core; 0: none. `folder` is of version 2's
/// tree or of version 1's "cpu".
uint64_t QuotaOf(const std::string& folder) {
  uint64_t quota = 0, period = 0;
  const std::string both = ReadSmallFile(folder + "/cpu.max", 64);
  if (!both.empty()) {
    if (std::sscanf(both.c_str(), "%" SCNu64 " %" SCNu64, &quota, &period) != 2) return 0;
  } else {
    const std::string text = ReadSmallFile(folder + "/cpu.cfs_quota_us", 64);
    if (text.empty() || text[0] == '-') return 0;
    quota = std::strtoull(text.c_str(), nullptr, 10);
    period = ReadNumber(folder + "/cpu.cfs_period_us");
  }
  if (quota == 0 || period == 0 || quota > UINT64_MAX / 1000000) return 0;
  return std::max<uint64_t>(1, quota * 1000000 / period);
}

/// The least quota of a group and those around it.
uint64_t QuotaAbove(const std::string& tree, std::string group) {
  uint64_t least = 0;
  while (true) {
    const uint64_t quota = QuotaOf(tree + group);
    if (quota != 0 && (least == 0 || quota < least)) least = quota;
    const size_t slash = group.rfind('/');
    if (slash == std::string::npos) return least;
    group.resize(slash);
  }
}

/// Whether "cpu,cpuacct" holds "cpu".
bool Lists(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

/// Whole cores that the control groups of this process allow; 0: no limit.
uint32_t QuotaCpus(const std::string& root) {
  const std::string tree = root + "/sys/fs/cgroup";
  const std::string groups = ReadSmallFile(root + "/proc/self/cgroup");
  uint64_t least = 0;
  const auto take = [&](uint64_t quota) {
    if (quota != 0 && (least == 0 || quota < least)) least = quota;
  };
  for (size_t at = 0; at < groups.size();) {  // lines such as 0::/a/b and 4:cpu,cpuacct:/a/b
    const size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string_view line = std::string_view(groups).substr(at, end - at);
    at = end + 1;
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers = std::string(line.substr(first + 1, second - first - 1));
    std::string group = std::string(line.substr(second + 1));
    if (group == "/" || group.find("..") != std::string::npos) group.clear();
    if (controllers.empty()) {
      take(QuotaAbove(tree, group));
      take(QuotaAbove(tree + "/unified", group));
    } else if (Lists(controllers, "cpu")) {
      take(QuotaAbove(std::string(tree).append("/").append(controllers), group));
      take(QuotaAbove(tree + "/cpu", group));
    }
  }
  if (groups.empty()) take(QuotaOf(tree));
  if (least == 0) return 0;
  // To the nearest: a thread for less than half a core would mostly wait, and the others for it.
  return static_cast<uint32_t>(
      std::clamp<uint64_t>((least + 500000) / 1000000, 1, uint64_t{kMaxCpus}));
}

struct Core {
  unsigned cpu = 0;
  std::string name;
  uint64_t capacity = 0;
  uint64_t max_khz = 0;
  uint64_t power = 0;
};

/// Those of `usable` that are on, as far as that is known.
std::vector<Core> ReadCores(const CpuSet& usable, const std::string& root) {
  const std::string info = ReadSmallFile(root + "/proc/cpuinfo", kMostCpuInfoBytes);
  const std::string online = ReadSmallFile(root + "/sys/devices/system/cpu/online");
  CpuSet on;
  if (const size_t end = online.find('\n'); end != std::string::npos) {
    if (Result<CpuSet> parsed = ParseCpuList(online.substr(0, end)); parsed.ok())
      on = std::move(parsed).value();
  }
  std::vector<Core> cores;
  for (const unsigned cpu : usable) {
    if (!on.empty() && !std::binary_search(on.begin(), on.end(), cpu)) continue;
    const std::string files = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu);
    Core core;
    core.cpu = cpu;
    core.name = platform::CpuName(info, cpu);
    core.capacity = ReadNumber(files + "/cpu_capacity");
    core.max_khz = ReadNumber(files + "/cpufreq/cpuinfo_max_freq");
    cores.push_back(std::move(core));
  }
  return cores;
}

/// Whether nothing tells two cores apart, but that they may not be known at all.
bool AreAlike(const std::vector<Core>& cores) {
  return std::all_of(cores.begin(), cores.end(), [&](const Core& core) {
    return !core.name.empty() && core.name == cores[0].name && core.max_khz == cores[0].max_khz;
  });
}

/// By the kernel's own measure where it has one for all (ARM); else by measuring, which only tells
/// big from little, since no two runs are equal; else by the highest clock.
void SetPowers(std::vector<Core>& cores, std::vector<uint32_t> (*measure)(const CpuSet&)) {
  bool has_capacity = true, has_clock = true;
  CpuSet cpus;
  for (const Core& core : cores) {
    has_capacity = has_capacity && core.capacity != 0;
    has_clock = has_clock && core.max_khz != 0;
    cpus.push_back(core.cpu);
  }
  for (Core& core : cores) core.power = has_capacity ? core.capacity : has_clock ? core.max_khz : 1;
  if (has_capacity || measure == nullptr || AreAlike(cores)) return;
  const std::vector<uint32_t> speeds = measure(cpus);
  if (speeds.size() != cores.size()) return;
  const uint64_t best = *std::max_element(speeds.begin(), speeds.end());
  for (size_t i = 0; i < cores.size(); ++i)
    cores[i].power = uint64_t{speeds[i]} * 100 >= best * kBigCorePercent ? 100 : 1;
}

}  // namespace

CpuTopology ReadCpuTopology(const CpuSet& usable, const char* root,
                            std::vector<uint32_t> (*measure)(const CpuSet&)) {
  std::vector<Core> cores = ReadCores(usable, root);
  SetPowers(cores, measure);
  // Few cores and mostly in order: sorting by exchanges is short, and keeps equal ones in place.
  for (size_t i = 1; i < cores.size(); ++i) {
    for (size_t j = i; j > 0 && cores[j - 1].power < cores[j].power; --j)
      std::swap(cores[j - 1], cores[j]);
  }
  CpuTopology topology;
  size_t big = 0;
  for (const Core& core : cores) {
    const bool is_big = core.power * 100 >= cores[0].power * kBigCorePercent;
    big += is_big ? 1 : 0;
    CpuGroup* group = topology.groups.empty() ? nullptr : &topology.groups.back();
    if (group == nullptr || group->name != core.name || group->capacity != core.capacity ||
        group->max_khz != core.max_khz || group->is_big != is_big) {
      group = &topology.groups.emplace_back();
      group->name = core.name;
      group->capacity = static_cast<uint32_t>(core.capacity);
      group->max_khz = core.max_khz;
      group->is_big = is_big;
    }
    group->cpus.push_back(core.cpu);
  }
  topology.quota_cpus = QuotaCpus(root);
  if (topology.quota_cpus != 0) big = std::min<size_t>(big, topology.quota_cpus);
  topology.default_threads = static_cast<uint32_t>(std::max<size_t>(1, big));
  return topology;
}

unsigned DefaultThreads() {
  const CpuSet usable = UsableCpus();
  if (usable.empty()) return std::clamp(std::thread::hardware_concurrency(), 1u, kMaxCpus);
  return ReadCpuTopology(usable).default_threads;
}

}  // namespace graft::runtime
