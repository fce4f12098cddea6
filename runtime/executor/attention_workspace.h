// SPDX-License-Identifier: Apache-2.0
// AttentionWorkspace: what the attention steps of an executor and those of experts work in, one step
// after the other.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/base/page_memory.h"
#include "runtime/executor/attention_scratch.h"
#include "schema/status.h"

namespace graft::runtime {

class AttentionWorkspace {
 public:
  /// Sets aside memory.
  /// Errors   kOutOfMemory.
  Status Create(const AttentionScratch& scratch, unsigned workers);

  unsigned workers() const { return workers_; }
  size_t worker_floats() const { return scratch_.worker_floats; }

  /// A worker's own floats.
  float* scratch(unsigned worker) const { return floats() + worker * scratch_.worker_floats; }
  /// Partial results of one row's heads: kMaxAttentionSplits for each key/value head.
  float* partials() const { return floats() + workers_ * scratch_.worker_floats; }

  /// Says that one of the `splits` parts of a head is there. True for whoever is the last to say so.
  bool FinishSplit(size_t kv_head, size_t splits);

  /// After a call that was cancelled: parts of a head may be missing, and nobody put the others
  /// together.
  void Abandon();

  /// Gives the memory's pages back; they come again as they are used.
  void Trim() { memory_.Discard(0, memory_.size()); }

 private:
  float* floats() const { return reinterpret_cast<float*>(memory_.data()); }

  unsigned workers_ = 1;
  PageMemory memory_;  // each worker's scratch, then the partial results of split heads
  AttentionScratch scratch_;
  std::unique_ptr<std::atomic<uint32_t>[]> splits_done_;  // for each key/value head
};

}  // namespace graft::runtime
