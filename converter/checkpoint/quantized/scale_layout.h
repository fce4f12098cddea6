// SPDX-License-Identifier: Apache-2.0
// Which numbers share a scale, by the shape of a tensor of scales.
#pragma once

#include <cstdint>

#include "converter/checkpoint/quantized/format_readers.h"

namespace graft::converter {

struct ScaleLayout {
  int64_t rows_each = 1;
  int64_t columns_each = 1;
  int64_t scale_rows = 1;
  int64_t scale_columns = 1;
  /// "by tensor", "by channel", "in groups of 128", "in blocks of 128x128".
  std::string text;
};

/// For a matrix [rows, columns]: one scale for all, for each row, for groups along each row, or for
/// blocks. A group's or block's size is taken from the configuration where that fits the shape.
/// Errors   kCorrupt: the shape is none of these.
Result<ScaleLayout> LayoutOf(const FormatContext& context, const StoredTensor& scales, int64_t rows,
                             int64_t columns);

/// The scales of such a layout, powers of two where they are stored as bytes. No zero and no bias.
/// Errors   kCorrupt: of a type that no scales have.
Result<GroupScales> ScalesOf(const StoredTensor& scales, const ScaleLayout& layout);

/// So many numbers of a row of `columns` share one of `groups` scales: the first of `said` that makes
/// that many groups, or an equal share; 0 if there is none.
int64_t GroupSizeOf(const std::vector<int64_t>& said, int64_t columns, int64_t groups);

}  // namespace graft::converter
