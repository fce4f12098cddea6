// SPDX-License-Identifier: Apache-2.0
// Products of matrices of binary32 numbers, added up in binary64: every product is exact, so fused
// and separate multiply-adds agree, and each sum runs in one order. The same bits on every CPU.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace graft::converter {

/// y[r][o] = sum over i of x[r][i] * w[o][i], i ascending, rounded to binary32 once.
/// Shapes   x [rows, in_features], w [out_features, in_features]; y [rows, out_features], its rows
///          y_stride numbers apart.
void MultiplyTransposed(const float* x, const float* w, size_t rows, size_t in_features,
                        size_t out_features, float* y, size_t y_stride);

/// gram[i][j] += sum over r of x[r][i] * x[r][j], r ascending, for i in [begin, end) and all j >= i.
/// Shapes   x [rows, width]; gram [width, width]. What lies below the diagonal is undefined.
void AddGram(const float* x, size_t rows, size_t width, size_t begin, size_t end, double* gram);

/// to[i] += factor * from[i], the product rounded before it is added.
void AddScaled(double factor, const double* from, size_t count, double* to);

/// Sum of a[i] * b[i] in eight lanes, each product rounded, which are added in one order.
double Dot(const double* a, const double* b, size_t count);

}  // namespace graft::converter
