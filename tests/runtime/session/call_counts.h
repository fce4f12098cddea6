// SPDX-License-Identifier: Apache-2.0
// Counts calls of functions that steady work must not reach. The linker puts counters before them
// (--wrap in CMakeLists.txt), in our code and in every library that is linked in statically,
// XNNPACK among them.
#pragma once

#include <cstddef>

namespace graft::test {

struct CallCounts {
  size_t allocations = 0;  ///< malloc and its like, mmap, operator new
  size_t locks = 0;        ///< of mutexes
  size_t reshapes = 0;     ///< of XNNPACK operators
};

/// Since the process began.
CallCounts CountedCalls();

}  // namespace graft::test
