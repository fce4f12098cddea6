// SPDX-License-Identifier: Apache-2.0
// Numbers that were codes once: their codes and scale found again, so that nothing is rounded twice.
#pragma once

#include <cstdint>
#include <span>

#include "converter/quantize/stored_format.h"

namespace graft::converter {

/// How the groups of some rows (what shares a scale) lie on the format's grid.
struct GridCounts {
  int64_t groups = 0;    ///< All that are not zeros.
  int64_t on_grid = 0;   ///< Each number a code times one scale: the codes are kept.
  int64_t exact = 0;     ///< Of these: the scale is one of the format's, and kept, too.
  int64_t negative = 0;  ///< On a grid whose scale would have to be negative: searched like others.

  void Add(const GridCounts& other);
};

struct GridFit {
  enum class Kind : uint8_t { kNone, kZeros, kNegative, kOnGrid };
  Kind kind = Kind::kNone;
  double scale = 0.0;  ///< If kOnGrid: positive.
};

/// Whether numbers are codes -8 to 7 times one scale, each product exact or rounded to no less than
/// bfloat16's 8 bits, as checkpoints of quantization-aware training store them (exact or rounded to
/// float32, if fewer than 8 are not zeros). The largest such scale. Where only codes -7 to 8 fit, kNegative.
/// Cost     a few comparisons, unless the first numbers fit.
GridFit FitInt4Grid(std::span<const double> numbers);

/// The same for codes -127 to 127, each product exact or rounded to float32.
GridFit FitInt8Grid(std::span<const double> row);

/// Puts the scales of groups on a grid, rounded to their stored type, in place of those chosen. A row
/// of several groups is looked at further only if its first that is not zeros lies on a grid, and
/// groups of less than 32 numbers not at all.
/// Shapes   numbers [rows, width]; scales: one for each group of `group` numbers.
void TakeGridScales(const StoredFormat& format, std::span<const double> numbers, size_t width,
                    size_t group, std::span<float> scales, GridCounts* counts);

}  // namespace graft::converter
