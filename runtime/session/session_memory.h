// SPDX-License-Identifier: Apache-2.0
// What a session takes of memory, known before any of it is allocated: for making one, for its
// limit, and for estimates.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/base/memory_budget.h"
#include "runtime/kernels/attention.h"
#include "runtime/plan/plan.h"
#include "runtime/session/session.h"
#include "runtime/session/session_states.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// A session's options with the defaults filled in.
struct SessionSizes {
  uint32_t context_tokens = 0;
  uint32_t prefill_chunk = 0;
  unsigned threads = 1;
  KvElement kv_element = KvElement::kFloat32;
  uint32_t source_rows = 0;  ///< at most; 0: the model has no source
};

/// Never kAuto.
KvFormat FormatOf(KvElement element);

/// Positions that the model can compute.
uint32_t MostPositions(const schema::VerifiedModel& model);

/// model_threads: what a session has that asks for none.
/// Errors   kInvalidArgument: more context than the model has positions for, or than any session
///          can have.
Result<SessionSizes> SizesOf(const schema::VerifiedModel& model, const SessionOptions& options,
                             unsigned model_threads);

/// Sets the sizes of a pass over an image of `patches` patches, or to none (0) for one over tokens.
/// Requires plan.takes_pictures().
void SetImageRows(const Plan& plan, size_t patches, Binding* binding);

struct SessionMemory {
  std::vector<KvView> caches;           ///< one for each of the graph's, not placed yet
  std::vector<uint64_t> cache_offsets;  ///< of each in one run of memory
  uint64_t cache_bytes = 0;             ///< of that run
  StatesLayout states;                  ///< with copies, in a run of their own
  uint64_t id_bytes = 0;
  uint64_t scratch_bytes = 0;  ///< attention's
  /// Of the arena: where tokens can be computed in chunks, for a whole chunk with one row out;
  /// where all sizes are fixed, for them. Else 0: only the inputs tell.
  uint64_t arena_bytes = 0;
};

/// The sizes of a pass over a source of `rows` rows, which a source of features has anyway.
/// Requires plan.has_source().
Binding SourceBinding(const Plan& plan, size_t rows);

/// Errors   kOutOfMemory: a size does not fit the address space.
Result<SessionMemory> LayOutSession(const Plan& plan, const SessionSizes& sizes);

/// The budget of a session that takes `memory` beside packed_bytes of weights; limit_bytes 0: none.
/// Memory is handed out without being there: what does not fit must be refused here, or the process
/// is killed once it is touched.
/// Errors   kOutOfMemory: it is beyond the limit, or the machine has no memory for the caches; the
///          message says what is needed and which context fits.
Result<MemoryBudget> MakeMemoryBudget(const Plan& plan, const SessionSizes& sizes,
                                      const SessionMemory& memory, uint64_t packed_bytes,
                                      uint64_t limit_bytes);

}  // namespace graft::runtime
