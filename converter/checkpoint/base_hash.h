// SPDX-License-Identifier: Apache-2.0
// BaseHash: the hash of a base's weight files, computed beside the work that reads them anyway.
#pragma once

#include <atomic>
#include <future>

#include "converter/checkpoint/checkpoint.h"
#include "schema/result.h"

namespace graft::converter {

/// Starts hashing when made, in a thread of its own that mostly waits for memory. `base` must
/// outlive it. Destroying it stops the hash within a block, so that a failure elsewhere does not
/// wait for the rest.
class BaseHash {
 public:
  explicit BaseHash(const Checkpoint& base);
  ~BaseHash();
  BaseHash(const BaseHash&) = delete;
  BaseHash& operator=(const BaseHash&) = delete;

  /// Waits for the hash. To be called once.
  /// Errors   those of Checkpoint::Hash.
  Result<schema::Hash128> Get() { return hash_.get(); }

 private:
  std::atomic<bool> stop_{false};
  std::future<Result<schema::Hash128>> hash_;
};

}  // namespace graft::converter
