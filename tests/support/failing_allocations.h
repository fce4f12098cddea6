// SPDX-License-Identifier: Apache-2.0
// Allocations that fail when a test says so. A program that has this file links with --wrap for each
// of the functions that failing_allocations.cc wraps (see tests/runtime/c_api/CMakeLists.txt), so
// that what the libraries linked in allocate counts too.
#pragma once

#include <cstddef>

namespace graft::test {

enum class Failing { kOne, kAllFromThenOn };

/// While one of these lives, the `nth` allocation (from 1) fails, of whatever thread; or no other
/// succeeds from it on. An allocation is operator new, malloc and its like, mmap, and a thread.
class FailingAllocations {
 public:
  FailingAllocations(size_t nth, Failing failing);
  ~FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;
};

/// Allocations made while the last of these lived.
size_t AllocationsCounted();
/// Allocations that are there now.
long AllocationsAlive();

}  // namespace graft::test
