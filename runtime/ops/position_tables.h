// SPDX-License-Identifier: Apache-2.0
// What attention by position tables needs beside queries, keys and values: which column of the
// tables a distance takes, and what keys have for each column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/executor/step_runner.h"
#include "runtime/plan/step_kind.h"
#include "schema/status.h"

namespace graft::schema::fb {
struct PositionTables;
}  // namespace graft::schema::fb

namespace graft::runtime::ops {

/// The columns of an op's tables, by distance.
class PositionColumns {
 public:
  /// Errors   kCorrupt: a number that is none of the tables' columns; the message names the tensor.
  Status Read(const StepSource& source, const schema::fb::PositionTables& tables);

  /// Notes the columns of all distances in a text of up to `rows` rows.
  void Prepare(size_t rows);

  /// The columns of a text of `rows` rows, with that of distance j - i at rows - 1 + j - i.
  /// Requires rows <= those of Prepare.
  const uint32_t* OfText(size_t rows) const { return by_distance_.data() + (rows_ - rows); }

  /// Whole blocks of columns that hold all of a text's.
  struct Range {
    size_t first, last;
  };
  Range RangeOf(size_t rows) const;

 private:
  std::vector<uint32_t> stored_;
  size_t before_ = 0;
  size_t rows_ = 0;
  std::vector<uint32_t> by_distance_;  // from 1 - rows_ on
};

/// Products of each row's keys with the columns that its text needs. Inputs: keys, perhaps text
/// ends. Output: [heads][rows][columns].
extern const StepKind kKeyPositions;

}  // namespace graft::runtime::ops
