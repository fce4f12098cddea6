// SPDX-License-Identifier: Apache-2.0
// Products of whole numbers: exact in 32 bits, so that every CPU and any order gives the same.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::converter {

/// Columns that lie together in what these functions take as packed.
inline constexpr size_t kPackedColumns = 32;

/// codes[i] = x[i] * inverse + zero to the nearest integer, ties to even, within -128 and 127, less
/// zero again.
void RoundToCodes(const float* x, size_t count, float inverse, float zero, int16_t* codes);

/// y[r][c] = row_scales[r] * sum over groups g, ascending, of scales[g][c] * (the sum over g's pairs
/// k of x[r][2k] packed[k][c][0] + x[r][2k + 1] packed[k][c][1]). Outer sums and products are
/// rounded to binary32 one by one.
/// Shapes   x [rows, 2 pairs], its rows x_stride numbers apart; packed [pairs, 32, 2]; scales
///          [pairs / group_pairs, 32]; y [rows, columns], its rows y_stride numbers apart.
/// Requires |x| <= 255, columns <= 32.
void MultiplyPacked(const int16_t* x, size_t x_stride, const float* row_scales, size_t rows,
                    const int8_t* packed, const float* scales, size_t pairs, size_t group_pairs,
                    size_t columns, float* y, size_t y_stride);

/// sums[i][j] += the sum over pairs k of a[k][i][0] b[k][j][0] + a[k][i][1] b[k][j][1].
/// Shapes   a, b [pairs, 32, 2]; sums [32, 32].
/// Requires |a|, |b| <= 2047.
void AddPackedGram(const int16_t* a, const int16_t* b, size_t pairs, double* sums);

}  // namespace graft::converter
