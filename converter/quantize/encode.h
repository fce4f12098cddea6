// SPDX-License-Identifier: Apache-2.0
// Numbers to the bytes that a .graft file holds for them.
#pragma once

#include <cstdint>
#include <span>

#include "converter/quantize/grid.h"
#include "converter/quantize/stored_format.h"
#include "schema/result.h"

namespace graft::converter {

/// Scales of another file that would do, too: of the same rows, or of the first of them.
struct LikeScales {
  std::span<const uint8_t> scales;  ///< As the format stores them; may cover fewer rows.
  int64_t kept = 0;                 ///< Counts those that were taken ...
  int64_t offered = 0;              ///< ... out of so many.
};

/// A scale of LikeScales is taken if the squared error of what it covers becomes at most so many
/// times that of the scale chosen without it.
inline constexpr double kLikeErrorGrowth = 1.06;

/// Encodes whole rows. Where numbers lie on a grid that the format has (grid.h), its codes are kept,
/// and its scales as far as the format has these, too. Else scales are chosen first and rounded to their stored type, then each number
/// gets the code nearest to it under the rounded scale. Everything starts from the float64 numbers;
/// nothing is rounded in between.
/// Shapes   numbers [rows, row_elements]; data and scales: rows times RowDataBytes and
///          RowScaleBytes of `format`; stored, the numbers that the bytes stand for, is like
///          numbers.
/// Requires `format` to fit row_elements (FormatFor); buffers disjoint.
/// `like` may be null: the choice of scales then is their own. So may `grid`, to which counts are added.
/// Errors   kCorrupt: a number that is not finite or beyond the format's range; the message says
///          which row of these.
/// Cost     see quantize_kernels.h. The bytes are the same on every CPU. Reentrant.
Status EncodeRows(const StoredFormat& format, std::span<const double> numbers, int64_t row_elements,
                  uint8_t* data, uint8_t* scales, std::span<double> stored,
                  LikeScales* like = nullptr, GridCounts* grid = nullptr);

/// The numbers that encoded rows stand for.
/// Shapes   as EncodeRows.
/// Requires a quantized format.
void DecodeRows(const StoredFormat& format, std::span<const uint8_t> data,
                std::span<const uint8_t> scales, int64_t row_elements, std::span<double> stored);

}  // namespace graft::converter
