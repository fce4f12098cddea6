// SPDX-License-Identifier: Apache-2.0
// What this process takes of the machine's memory, and how fast the machine reads it.
#pragma once

#include <cstdint>

namespace graft_run {

/// In KiB; 0 where the system does not say.
struct MemoryUse {
  uint64_t peak_kib = 0;       ///< the most that was ever resident
  uint64_t anonymous_kib = 0;  ///< resident now and the process's own (RssAnon)
  uint64_t mapped_kib = 0;     ///< resident now and of files (RssFile)
};
MemoryUse ReadMemoryUse();

/// Bytes a second that `threads` threads read together from a buffer of several times the last
/// cache: the best of several passes, each thread going through a part of its own from end to end.
/// 0 if there is no memory for the buffer.
double MeasureReadBandwidth(unsigned threads);

}  // namespace graft_run
