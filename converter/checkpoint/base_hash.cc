// SPDX-License-Identifier: Apache-2.0
#include "converter/checkpoint/base_hash.h"

namespace graft::converter {

// Where no thread can be had, the default policy leaves the work to Get.
BaseHash::BaseHash(const Checkpoint& base)
    : hash_(std::async([this, &base] { return base.Hash(&stop_); })) {}

BaseHash::~BaseHash() {
  // The future's own destructor then waits.
  stop_.store(true, std::memory_order_relaxed);
}

}  // namespace graft::converter
