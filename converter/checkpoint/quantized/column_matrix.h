// SPDX-License-Identifier: Apache-2.0
// Matrices that lie transposed in the files, as GPTQ and AWQ store them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "converter/checkpoint/quantized/number_matrix.h"

namespace graft::converter {

/// Row r of the matrix is column r of a float tensor [columns, rows].
std::unique_ptr<NumberMatrix> TransposedMatrix(const StoredTensor& tensor, int64_t rows,
                                               int64_t columns);

/// Codes in words of 32 bits that go down the columns of `tensor` [ceil(columns * bits / 32), rows]:
/// along our rows, without gaps, the first in the lowest bits.
std::unique_ptr<NumberMatrix> TransposedCodesDown(const StoredTensor& tensor, int64_t rows,
                                                  int64_t columns, const CodeTable& table);

/// Where the codes of a group of neighbours lie: the code of row i is the order[i]-th of them.
using CodeOrder = std::array<uint8_t, 8>;
inline constexpr CodeOrder kInOrder = {0, 1, 2, 3, 4, 5, 6, 7};

/// Codes in words of 32 bits that go along the rows of `tensor` [columns, ceil(rows * bits / 32)].
/// Requires kInOrder, or 4 bits.
std::unique_ptr<NumberMatrix> TransposedCodesAlong(const StoredTensor& tensor, int64_t rows,
                                                   int64_t columns, const CodeTable& table,
                                                   const CodeOrder& order = kInOrder);

}  // namespace graft::converter
