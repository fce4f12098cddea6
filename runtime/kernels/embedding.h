// SPDX-License-Identifier: Apache-2.0
// Reads single rows of a stored matrix, of any format, as f32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::runtime {

enum class WeightFormat : uint8_t {
  kFloat32,
  kFloat16,
  kBFloat16,
  kInt8Channel,
  kInt4Block,
  kInt4Channel
};

/// A matrix as it lies in the file. FORMAT.md, "Tensor formats".
struct StoredMatrix {
  WeightFormat format = WeightFormat::kFloat32;
  size_t rows = 0;
  size_t width = 0;
  size_t block_size = 0;  ///< kInt4Block only
  const uint8_t* data = nullptr;
  const uint8_t* scales = nullptr;

  size_t row_bytes() const;
};

/// Rows [begin, begin + rows) of a matrix.
StoredMatrix RowsOf(const StoredMatrix& matrix, size_t begin, size_t rows);

/// out[0, width) = multiplier * row `row` of the matrix.
/// Requires row < rows.
void ReadRow(const StoredMatrix& matrix, size_t row, float multiplier, float* out);

}  // namespace graft::runtime
