// SPDX-License-Identifier: Apache-2.0
// How much memory can be had right now, as far as Linux tells.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "runtime/platform/data_source.h"

namespace graft::runtime {
namespace {

constexpr uint64_t kUnknown = std::numeric_limits<uint64_t>::max();

/// The beginning of a small file; empty if it cannot be read.
std::string ReadStart(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return "";
  char text[4096];
  const ssize_t size = read(descriptor, text, sizeof(text));
  close(descriptor);
  return size <= 0 ? "" : std::string(text, static_cast<size_t>(size));
}

/// Bytes of a line such as "MemAvailable:  123 kB"; kUnknown if there is none.
uint64_t FieldBytes(const std::string& text, const char* field) {
  const size_t at = text.find(field);
  if (at == std::string::npos) return kUnknown;
  uint64_t kib = 0;
  if (std::sscanf(text.c_str() + at + std::strlen(field), "%" SCNu64, &kib) != 1) return kUnknown;
  return kib > kUnknown / 1024 ? kUnknown : kib * 1024;
}

/// Free bytes of the swap that /proc/swaps lists, but for zram: what is swapped there stays in
/// memory, compressed.
uint64_t FreeSwapBytes(const std::string& swaps) {
  uint64_t free_bytes = 0;
  for (size_t line = swaps.find('\n'); line != std::string::npos; line = swaps.find('\n', line)) {
    const size_t end = swaps.find('\n', ++line);
    uint64_t kib = 0;
    uint64_t used_kib = 0;
    const std::string text = swaps.substr(line, end - line);
    if (text.find("zram") == std::string::npos &&
        std::sscanf(text.c_str(), "%*s %*s %" SCNu64 " %" SCNu64, &kib, &used_kib) == 2 &&
        used_kib <= kib && kib - used_kib <= (kUnknown >> 12) / 1024) {
      free_bytes += (kib - used_kib) * 1024;
    }
  }
  return free_bytes;
}

}  // namespace

uint64_t AvailableMemory(const char* root) {
  const std::string folder = root;
  uint64_t available = kUnknown;
  const std::string meminfo = ReadStart(folder + "/proc/meminfo");
  if (const uint64_t free = FieldBytes(meminfo, "MemAvailable:"); free != kUnknown) {
    const uint64_t swap = FreeSwapBytes(ReadStart(folder + "/proc/swaps"));
    available = swap > kUnknown - free ? free : free + swap;
  }
  // What the group holds already is mostly files that can be dropped: only its limit is sure.
  const std::string limit = ReadStart(folder + "/sys/fs/cgroup/memory.max");
  if (!limit.empty() && limit[0] >= '0' && limit[0] <= '9') {
    available = std::min<uint64_t>(available, std::strtoull(limit.c_str(), nullptr, 10));
  }
  return available;
}

}  // namespace graft::runtime
