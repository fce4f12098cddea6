// SPDX-License-Identifier: Apache-2.0
// What is left of an adapter in a layer's outputs, once its weights are rounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "converter/lower/constant.h"
#include "converter/quantize/stored_format.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// Sums over outputs: of c, by which the adapter changes them, and e, by which rounding does.
struct OutputNoise {
  int64_t outputs = 0;
  double change_squares = 0.0;  ///< Sum of c^2.
  double error_squares = 0.0;   ///< Sum of e^2.
  double products = 0.0;        ///< Sum of c * e.

  /// |e| / |c|: above 1, rounding is louder than the adapter. 0 if nothing was measured.
  double NoiseRatio() const;
  /// The cosine between c and c + e; 0 if nothing was measured.
  double Correlation() const;
};

/// Of every `stride`-th row of `constant`, as it is stored in `data` and `scales`, and some of the
/// inputs x.
/// Shapes   x [rows, constant.row_elements()]; data, scales: those of all rows, in `format`.
/// Requires a quantized format.
/// Errors   those of ReadConstant; kCancelled.
Result<OutputNoise> MeasureOutputNoise(const Constant& constant, const TensorSource& source,
                                       const StoredFormat& format, std::span<const uint8_t> data,
                                       std::span<const uint8_t> scales, std::span<const float> x,
                                       int64_t stride, int threads);

}  // namespace graft::converter
