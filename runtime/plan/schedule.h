// SPDX-License-Identifier: Apache-2.0
// Schedule: a plan with its sizes known. Which steps run, in which stages, and where each value
// lies in the arena.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/plan/plan.h"
#include "schema/result.h"

namespace graft::runtime {

/// Steps that run without a barrier between them: a run of row-local steps over the same rows, each
/// row going through all of them on one thread, or a single step that divides itself into tasks.
struct Stage {
  uint32_t first = 0;  ///< in Schedule::steps
  uint32_t count = 0;
  size_t rows = 0;
  bool by_rows = false;
};

struct ValuePlace {
  uint64_t offset = 0;  ///< in the arena
  uint64_t bytes = 0;   ///< 0: the value is not computed
};

struct Schedule {
  std::vector<uint32_t> steps;  ///< those of the plan that run, in order
  std::vector<Stage> stages;
  std::vector<ValuePlace> places;  ///< one for each value of the plan
  uint64_t arena_bytes = 0;

  /// Where a value lies; null if it is not computed.
  uint8_t* data(int32_t value, uint8_t* arena) const {
    const ValuePlace& place = places[static_cast<size_t>(value)];
    return place.bytes == 0 ? nullptr : arena + place.offset;
  }
};

/// Sizes of the two parts of a kQuantized value of `rows` rows: the codes come first, then the row
/// quantizations.
uint64_t QuantizedCodesBytes(size_t rows, size_t width);
/// How many row quantizations lie behind the codes: those of each block of rows, and as many more as
/// a kernel may read.
size_t QuantizationCount(size_t rows, const QuantizedRows& form);
/// Positions that a kKeyValues value has room for.
size_t KeyValuesCapacity(const Plan& plan, int32_t value, const Binding& binding);

/// Works out *schedule for a binding. Steps whose outputs have no rows, and steps that only such
/// steps read, do not run.
/// Errors   kOutOfMemory: a size does not fit. Reuses the vectors' memory.
Status MakeSchedule(const Plan& plan, const Binding& binding, Schedule* schedule);

}  // namespace graft::runtime
