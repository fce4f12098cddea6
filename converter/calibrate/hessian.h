// SPDX-License-Identifier: Apache-2.0
// What the inputs of a linear layer say about which errors of its weights matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// The sum of x xᵀ over a layer's inputs x, H, as rounding uses it. An error e of a row of weights
/// costs eᵀ H e in the layer's output.
struct Hessian {
  size_t width = 0;
  std::vector<double> diagonal;  ///< Of H, in the columns' own order.
  std::vector<uint32_t>
      order;  ///< Columns by falling diagonal: the order in which they are rounded.
  /// H, damped and in that order, is V Vᵀ with V an upper triangular matrix; this is V with each
  /// column divided by its element on the diagonal, row by row, and those elements.
  std::vector<double> feedback;
  std::vector<double> pivots;
  std::vector<float> damped;  ///< H, damped, in the columns' own order: [width, width].
};

/// Numbers of x are rounded to 2047 steps of their column's largest first, so that sums are exact.
/// Source   the order and damping (1 % of the diagonal's mean) of GPTQ (Frantar et al. 2022). Its
///          Cholesky factor of H's inverse gives the same feedback as V: V needs no inverse.
/// Shapes   x [rows, width]
/// Cost     rows * width^2 / 2 + width^3 / 6 multiply-adds, on `threads` threads; 12 width^2 bytes,
///          and two for each number of x in `folder`.
/// Errors   kCorrupt: inputs that are not finite; kIo; kCancelled.
Result<Hessian> MakeHessian(std::span<const float> x, size_t width, int threads,
                            const std::filesystem::path& folder = {});

}  // namespace graft::converter
