// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/attention_workspace.h"

#include <new>

#include "schema/result.h"

namespace graft::runtime {

Status AttentionWorkspace::Create(const AttentionScratch& scratch, unsigned workers) {
  workers_ = workers;
  scratch_ = scratch;
  GRAFT_ASSIGN_OR_RETURN(memory_,
                         PageMemory::Allocate(scratch.bytes(workers), "attention's scratch"));
  splits_done_.reset(new (std::nothrow) std::atomic<uint32_t>[scratch.most_kv_heads]());
  if (!splits_done_)
    return Error(StatusCode::kOutOfMemory, "cannot allocate %zu counters", scratch.most_kv_heads);
  return OkStatus();
}

bool AttentionWorkspace::FinishSplit(size_t kv_head, size_t splits) {
  if (splits_done_[kv_head].fetch_add(1, std::memory_order_acq_rel) + 1 != splits) return false;
  splits_done_[kv_head].store(0, std::memory_order_relaxed);
  return true;
}

void AttentionWorkspace::Abandon() {
  for (size_t head = 0; head < scratch_.most_kv_heads; ++head)
    splits_done_[head].store(0, std::memory_order_relaxed);
}

}  // namespace graft::runtime
