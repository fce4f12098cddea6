// SPDX-License-Identifier: Apache-2.0
// MemoryBudget: what may be allocated while something runs, counted.
#pragma once

#include <algorithm>
#include <cstdint>

#include "runtime/base/page_memory.h"
#include "schema/result.h"

namespace graft::runtime {

/// What a session may allocate.
class MemoryBudget {
 public:
  /// Refuses nothing.
  MemoryBudget() = default;
  /// Beside fixed_bytes that are held already; limit_bytes 0: none.
  MemoryBudget(uint64_t fixed_bytes, uint64_t limit_bytes)
      : limit_bytes_(limit_bytes), fixed_bytes_(fixed_bytes) {}

  /// Zeroed memory for activations or outputs, counted until its size is given back.
  /// Errors   kOutOfMemory, with `purpose`: with what is counted already it is beyond the limit, or
  ///          the machine does not have it.
  Result<PageMemory> Allocate(uint64_t bytes, const char* purpose);
  void Release(uint64_t bytes) { held_bytes_ -= std::min(bytes, held_bytes_); }

 private:
  uint64_t limit_bytes_ = 0;  // 0: none
  uint64_t fixed_bytes_ = 0;  // weights, caches, ids, scratch
  uint64_t held_bytes_ = 0;   // activations and outputs
};

}  // namespace graft::runtime
