// SPDX-License-Identifier: Apache-2.0
// The inner loops of the merge, compiled for several instruction sets and giving the same bits on
// each.
#pragma once

#include <cstddef>
#include <cstdint>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// Adds a low-rank product in place: out[r][c] += scale * sum over k of b[r][k] * a[k][c], k
/// ascending. Where the scaled sum is zero, out is left untouched, so that -0 stays -0.
/// Shapes   a [rank, columns], b [rows, rank], out [rows, columns]; float64, row-major, strides in
///          elements.
/// Requires exact_products only if every b * a is exact in float64 (both factors hold float32 or
///          narrower numbers): then fused and separate multiply-adds agree, and the faster may be
///          used.
/// Cost     rows * columns * rank multiply-adds; allocates nothing. Reentrant.
void AddLowRank(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t rows,
                size_t columns, size_t rank, double scale, bool exact_products, double* out,
                size_t out_stride);

/// Widens `count` stored elements to float64, each exactly. Integers beyond 2^53 are rounded.
/// Requires `stored` to hold count * DTypeBytes(dtype) bytes; no alignment needed.
void Widen(DType dtype, const uint8_t* stored, size_t count, double* out);

/// Rounds `count` values once, to nearest even, into a stored float type (kFloat64, kFloat32,
/// kFloat16 or kBFloat16).
void Narrow(DType dtype, const double* values, size_t count, uint8_t* stored);

}  // namespace graft::converter
