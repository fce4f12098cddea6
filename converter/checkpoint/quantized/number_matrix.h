// SPDX-License-Identifier: Apache-2.0
// NumberMatrix: the rows of a matrix on request, however its codes are packed in the files.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "converter/checkpoint/quantized/stored_tensors.h"
#include "schema/status.h"

namespace graft::converter {

/// Immutable; reads are thread-safe.
class NumberMatrix {
 public:
  NumberMatrix(int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {}
  virtual ~NumberMatrix() = default;
  NumberMatrix(const NumberMatrix&) = delete;
  NumberMatrix& operator=(const NumberMatrix&) = delete;

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  /// Fills out with rows [row_begin, row_end).
  /// Requires a range inside the matrix, and out.size() == (row_end - row_begin) * columns().
  /// Errors   those of reading the file.
  virtual Status Read(int64_t row_begin, int64_t row_end, std::span<double> out) const = 0;

 private:
  int64_t rows_;
  int64_t columns_;
};

/// What a code of 1 to 8 bits stands for.
struct CodeTable {
  int bits = 8;
  std::array<double, 256> values{};  ///< Of each code below 2^bits.
};
/// Code minus `zero`.
CodeTable IntegerCodes(int bits, int zero);
/// The 4-bit floats of OCP's microscaling formats: 0, 0.5, 1, 1.5, 2, 3, 4, 6, and the negatives.
CodeTable Float4Codes();
/// Powers of two, biased by 127.
CodeTable PowerOfTwoCodes();

/// How codes lie in units of bytes, the first in the lowest bits.
struct CodeUnit {
  int64_t bytes = 1;  ///< At most 8.
  int64_t codes = 1;  ///< bits * codes fit in the unit.
};
/// The smallest whole unit of bytes for codes that lie without gaps.
CodeUnit DenseUnit(int bits);

/// Row-major numbers as they are stored.
/// Requires tensor.elements() == rows * columns.
std::unique_ptr<NumberMatrix> PlainMatrix(const StoredTensor& tensor, int64_t rows,
                                          int64_t columns);
/// Rows of codes, each row of ceil(columns / unit.codes) units, cut off to `row_bytes` bytes.
/// Requires rows * row_bytes bytes in the tensor.
std::unique_ptr<NumberMatrix> PackedRows(const StoredTensor& tensor, int64_t rows, int64_t columns,
                                         int64_t row_bytes, CodeUnit unit, const CodeTable& table);
/// Codes in words of 32 bits that go down the columns: `tensor` [ceil(rows * bits / 32), columns].
std::unique_ptr<NumberMatrix> PackedDown(const StoredTensor& tensor, int64_t rows, int64_t columns,
                                         const CodeTable& table);
enum class Rescale : uint8_t { kMultiply, kDivide };
/// The numbers multiplied with or divided by one number, each rounded to float32.
std::unique_ptr<NumberMatrix> RescaledMatrix(std::unique_ptr<NumberMatrix> matrix, Rescale how,
                                             double by);

}  // namespace graft::converter
