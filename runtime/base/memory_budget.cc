// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/memory_budget.h"

#include <cinttypes>
#include <limits>

#include "runtime/platform/data_source.h"
#include "schema/checked_math.h"

namespace graft::runtime {
namespace {

// Less is not worth asking the system whether it is there.
constexpr uint64_t kWorthAskingBytes = uint64_t{32} << 20;

}  // namespace

Result<PageMemory> MemoryBudget::Allocate(uint64_t bytes, const char* purpose) {
  const uint64_t others = SaturatingAdd(fixed_bytes_, held_bytes_);
  if (limit_bytes_ != 0 && SaturatingAdd(others, bytes) > limit_bytes_) {
    return Error(StatusCode::kOutOfMemory,
                 "%s take %" PRIu64 " bytes beside the %" PRIu64
                 " that are held; the memory limit is %" PRIu64,
                 purpose, bytes, others, limit_bytes_);
  }
  const uint64_t available =
      bytes < kWorthAskingBytes ? std::numeric_limits<uint64_t>::max() : AvailableMemory();
  if (bytes > available) {
    return Error(StatusCode::kOutOfMemory,
                 "%s take %" PRIu64 " bytes, the machine has %" PRIu64 " available", purpose, bytes,
                 available);
  }
  GRAFT_ASSIGN_OR_RETURN(PageMemory memory, PageMemory::Allocate(bytes, purpose));
  held_bytes_ += memory.size();
  return memory;
}

}  // namespace graft::runtime
