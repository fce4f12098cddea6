// SPDX-License-Identifier: Apache-2.0
// Matrices of 8-bit codes, and products of inputs that are rounded to 8 bits with them: what the
// device computes of quantized weights, in an order that every CPU keeps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "converter/calibrate/scratch.h"
#include "converter/calibrate/text_ops.h"
#include "converter/quantize/stored_format.h"
#include "schema/result.h"

namespace graft::converter {

/// Shapes   [rows, width], row by row in groups of numbers that share a scale.
class IntegerMatrix {
 public:
  /// A matrix of zeros, which lies in a file in `folder` if it is large.
  /// Requires `group` divides the width, and is even or the width itself.
  /// Errors   kIo: the folder cannot hold it.
  static Result<IntegerMatrix> Create(const std::filesystem::path& folder, size_t rows,
                                      size_t width, size_t group);

  bool empty() const { return codes_.empty(); }
  /// Numbers that share a scale in a matrix of that format.
  static size_t GroupOf(const StoredFormat& format, size_t width) {
    return format.kind == StorageKind::kInt4Block ? size_t{format.block_size} : width;
  }

  /// Thread   others may set other rows meanwhile.
  void SetRow(size_t row, const int8_t* codes, const float* scales);
  /// Sets a row to what a file of `format` has for it.
  void SetStoredRow(size_t row, const StoredFormat& format, const uint8_t* data,
                    const uint8_t* scales);
  /// Sets a row by rounding it to nearest, with one scale. Requires group() is the width.
  void RoundRow(size_t row, std::span<const double> numbers);

  /// out = x Wᵀ + bias, x rounded by RoundInputRow.
  /// Returns   kCorrupt: inputs that are not finite; kIo.
  Status Multiply(const OpCall& call, const std::filesystem::path& folder) const;

 private:
  size_t pairs() const { return (width_ + 1) / 2; }
  size_t groups() const { return width_ / group_; }

  size_t rows_ = 0, width_ = 0, group_ = 0;
  Scratch codes_;   // bytes: [rows / 32, pairs, 32, 2]
  Scratch scales_;  // [rows / 32, groups, 32]
};

}  // namespace graft::converter
