// SPDX-License-Identifier: Apache-2.0
#include "tests/support/resident_bytes.h"

#include <fstream>
#include <string>

namespace graft::test {

bool ResidentBytesAreKnown() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(GRAFT_TEST_EMULATED)
  return false;
#else
  return ResidentBytes() > 0;
#endif
}

uint64_t ResidentBytes() {
  // Counted page by page; the counters of status and statm lag behind by some pages a CPU.
  std::ifstream rollup("/proc/self/smaps_rollup");
  for (std::string line; std::getline(rollup, line);) {
    if (line.rfind("Rss:", 0) == 0) return std::stoull(line.substr(4)) * 1024;
  }
  return 0;
}

}  // namespace graft::test
