// SPDX-License-Identifier: Apache-2.0
// Constant: one tensor of the file, and how its numbers come from the checkpoint's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// Rows of a larger matrix: all of them from `begin` on, runs with others between (or, with a stride
/// of 0, again and again), or any that are listed.
struct RowRuns {
  int64_t begin = 0;
  int64_t run_rows = 0;              ///< Rows that lie side by side; 0: all of them do.
  int64_t run_stride = 0;            ///< From the start of one run to that of the next.
  std::vector<int64_t> listed = {};  ///< If not empty: each row; -1 is one of zeros.

  /// Which row of the larger matrix row `row` is; -1: none, it is zeros.
  int64_t At(int64_t row) const {
    if (!listed.empty()) return listed[static_cast<size_t>(row)];
    return run_rows == 0 ? begin + row : begin + row / run_rows * run_stride + row % run_rows;
  }
};

/// Which numbers of a checkpoint's tensor a constant is made of. Each becomes number * factor +
/// offset, then the same with the factor and offset of its row, in float64.
struct TensorPart {
  std::string source;  ///< Empty: none.
  /// Of more than one source: each has as many of the constant's rows, in this order; `source` is
  /// the first.
  std::vector<std::string> sources = {};
  int64_t source_rows = 0;  ///< The source's own rows, or its columns if it is transposed.
  RowRuns rows = {};
  bool transposed = false;  ///< The source is [in_features, out_features].
  double factor = 1.0;
  double offset = 0.0;
  std::vector<double> row_factors = {};  ///< One for each row of the constant; empty: 1.
  std::vector<double> row_offsets = {};  ///< Likewise; empty: 0.
  std::vector<double> column_factors =
      {};  ///< One for each number of a row, last of all; empty: 1.
  /// If there are any: a row's number c is the sum over k of number k of the source's row times
  /// vectors[k * columns + c].
  std::shared_ptr<const std::vector<double>> vectors = nullptr;
  /// Of more than 1: rows and columns are cut into as many groups, and the source has those columns
  /// of a row that are of the row's group. The others are 0.
  int64_t groups = 1;
  /// Of more than 0: the source is a stack of so many matrices, [stack, ...], each of `source_rows`
  /// rows, or columns if they are transposed. Of each the constant has as many rows, in this order;
  /// `rows` counts within a matrix.
  int64_t stack = 0;
  /// If not empty: of each of the constant's columns, which of the source's `source_columns` it is.
  std::vector<int64_t> columns = {};
  int64_t source_columns = 0;
};

/// Where the numbers of one tensor in the file come from.
struct Constant {
  std::string name;            ///< In the file; unique.
  std::vector<int64_t> shape;  ///< In the file, unless it is flattened.
  TensorPart part;             ///< Without a source, `literal` holds the numbers.
  std::vector<float> literal;
  bool flattened = false;         ///< The file has all its numbers as one vector.
  bool is_vocabulary = false;     ///< A row for each token: the embedding, the head.
  bool is_weight_matrix = false;  ///< Stored in the format the user asked for; others stay f32.
  bool at_least_int8 = false;     ///< In int8 where an int4 format was asked for.

  int64_t rows() const { return shape[0]; }
  int64_t row_elements() const;
  std::vector<int64_t> shape_in_file() const {
    return flattened ? std::vector<int64_t>{rows() * row_elements()} : shape;
  }
};

/// How many rows are best read together, so that a thread holds a few hundred KiB; of a transposed
/// source or a stack, some MiB, because each read passes over the whole of it, or of a matrix of it.
int64_t RowsPerRead(const Constant& constant);

/// Fills merged[(row_end - row_begin) * row_elements] with rows of the constant, and `base`, if not
/// empty, with the same before any adapter.
/// Errors   those of TensorSource::ReadRows.
Status ReadConstant(const Constant& constant, const TensorSource& source, int64_t row_begin,
                    int64_t row_end, std::span<double> merged, std::span<double> base);

}  // namespace graft::converter
