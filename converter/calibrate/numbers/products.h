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

/// c[r][j] += sum over k of a[r][k] * b[k][j], k ascending from c on, each product rounded.
/// Shapes   a [rows, depth], b [depth, columns], c [rows, columns], each with rows so many numbers
///          apart as its stride says.
void AddProducts(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t rows,
                 size_t depth, size_t columns, double* c, size_t c_stride);
void AddProducts(const double* a, size_t a_stride, const float* b, size_t b_stride, size_t rows,
                 size_t depth, size_t columns, double* c, size_t c_stride);

/// to[i] += factor * from[i], the product rounded before it is added.
void AddScaled(double factor, const double* from, size_t count, double* to);

/// Sum of a[i] * b[i] in eight lanes, each product rounded, which are added in one order.
double Dot(const double* a, const double* b, size_t count);
double Dot(const float* a, const float* b, size_t count);

/// As the first, of binary32 numbers.
void AddScaled(double factor, const float* from, size_t count, double* to);

/// x[i] = FixedExp(x[i]), bit for bit.
void FixedExps(double* x, size_t count);

}  // namespace graft::converter
