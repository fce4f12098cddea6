// SPDX-License-Identifier: Apache-2.0
// Quantization as plain loops over one number at a time: what the vectorized code must agree with,
// bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::test {

/// Scale and codes of one block of signed 4-bit codes, by trying `steps` one after another: see
/// quantize_kernels.h. Sums run in binary32 in element order.
float ReferenceBlockScale(std::span<const double> block, std::span<const float> steps);

/// The code nearest to number / scale within [low, high].
int ReferenceCode(double number, double scale, int low, int high);

/// The root of the smallest sum of squared errors that any bf16 scale leaves in a block, over the
/// root of the sum of squares.
double LeastBlockError(std::span<const double> block);

/// The same relative error for given stored numbers.
double RelativeError(std::span<const double> numbers, std::span<const double> stored);

}  // namespace graft::test
