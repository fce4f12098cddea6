// SPDX-License-Identifier: Apache-2.0
// TaskShares: divides a stage's tasks so that each worker has neighbours.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "schema/status.h"

namespace graft::runtime {

/// Each worker takes its share of the tasks from the first to the last, so that slices of a weight
/// that follow each other in memory are one stream; then it helps others, from their last
/// backwards.
class TaskShares {
 public:
  /// Errors   kOutOfMemory.
  Status Create(unsigned workers);

  /// Divides tasks 0 .. count-1, instead of those before. No worker may be taking.
  void Divide(uint32_t count);

  /// A task that nobody has taken. At most `count` calls after each Divide.
  uint32_t Take(unsigned worker);

  /// The first task of a worker's share of `count` tasks; `count` if it has none.
  uint32_t FirstOf(unsigned worker, uint32_t count) const;

 private:
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};  // first task << 32 | end
  };

  unsigned workers_ = 0;
  std::unique_ptr<Share[]> shares_;
};

}  // namespace graft::runtime
