// SPDX-License-Identifier: Apache-2.0
// Several rows made one: their mean or, element by element, their largest.
#pragma once

#include <cstddef>

namespace graft::runtime {

/// y[j] = mean or largest of x[0][j], ..., x[rows - 1][j]. x is [rows, width], dense; rows >= 1.
/// Sums are in row order.
void MeanOfRows(const float* x, size_t rows, size_t width, float* y);
void MaxOfRows(const float* x, size_t rows, size_t width, float* y);

}  // namespace graft::runtime
