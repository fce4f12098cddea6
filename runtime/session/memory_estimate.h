// SPDX-License-Identifier: Apache-2.0
// What a model and a session with a full context will take of memory, told from the header of the
// file alone: nothing is packed, and no weight is read.
#pragma once

#include <cstdint>

#include "runtime/platform/data_source.h"
#include "runtime/session/session.h"
#include "runtime/session/session_memory.h"
#include "schema/result.h"

namespace graft::runtime {

/// Resident bytes.
struct ResidentBytes {
  uint64_t peak = 0;    ///< at the highest moment, from opening the file on
  uint64_t steady = 0;  ///< once the context is full, between two calls
  uint64_t own = 0;     ///< of `steady`, those that cannot be dropped: not of a file
};

struct MemoryEstimate {
  SessionSizes sizes;
  uint64_t file_bytes = 0;
  uint64_t packed_bytes = 0;
  uint64_t kv_bytes = 0;            ///< keys and values of the whole context, and states
  uint64_t activation_bytes = 0;    ///< with attention's scratch and token ids
  ResidentBytes packing;            ///< weights packed into memory
  ResidentBytes cached;             ///< weights mapped from the cache
  uint64_t storing_peak_bytes = 0;  ///< the peak where they are packed into the cache
};

/// Of a session made with `options` on the model of `source`, with the program's own code that runs
/// it, without what the process had before. Activations of graphs that take whole texts are those
/// of one text as long as the context; where other inputs decide, those of one row.
/// Errors   those of schema::Verify, LayOutWeights and SizesOf.
Result<MemoryEstimate> EstimateMemory(const DataSource& source, const SessionOptions& options,
                                      unsigned model_threads);

}  // namespace graft::runtime
