// SPDX-License-Identifier: Apache-2.0
// AttentionScratch: what the attention of a plan needs to work in, and its experts, whatever the
// number of rows. A worker is at one of them at a time, so they share it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/plan/plan.h"

namespace graft::schema::fb {
struct Model;
struct PositionTables;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Most threads that share the context of one row.
inline constexpr size_t kMaxAttentionSplits = 16;

/// Rows of an expert that a worker gathers at once, at least.
inline constexpr size_t kFewestExpertRows = 16;
/// Floats beside those of the rows: what kernels read after the last.
inline constexpr size_t kExpertRowsTail = 128;

struct AttentionScratch {
  size_t worker_floats = 0;   ///< of each worker, apart by a cache line
  size_t partial_floats = 0;  ///< of the parts of one row's heads, for all workers together
  size_t most_kv_heads = 1;   ///< of one op

  uint64_t bytes(unsigned workers) const {
    return (uint64_t{worker_floats} * workers + partial_floats) * sizeof(float);
  }
};

AttentionScratch ScratchOf(const Plan& plan);

/// Columns of an attention's position tables.
size_t PositionTablesWidth(const schema::fb::Model& model,
                           const schema::fb::PositionTables& tables);

}  // namespace graft::runtime
