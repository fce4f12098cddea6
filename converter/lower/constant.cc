// SPDX-License-Identifier: Apache-2.0
// Runs of rows are read where they lie; a transposed source is read in blocks of its own rows, of
// which the wanted columns are kept; of a stack, whole matrices are read.
#include "converter/lower/constant.h"

#include <algorithm>

namespace graft::converter {
namespace {

constexpr int64_t kBlockElements = 32768;
constexpr int64_t kTransposedBlockElements = int64_t{1} << 20;
constexpr int64_t kStackedBlockElements = int64_t{1} << 22;

Status Read(const TensorSource& source, const std::string& name, int64_t begin, int64_t end,
            std::span<double> merged, std::span<double> base) {
  if (base.empty()) return source.ReadRows(name, begin, end, merged);
  return source.ReadRowsAndBase(name, begin, end, merged, base);
}

// Rows from `row` on that lie side by side in one source.
int64_t RowsTogether(const TensorPart& part, int64_t rows_of_source, int64_t row, int64_t row_end) {
  int64_t count = row_end - row;
  if (!part.sources.empty()) count = std::min(count, rows_of_source - row % rows_of_source);
  if (!part.rows.listed.empty()) {
    const int64_t from = part.rows.At(row);
    int64_t together = 1;
    while (together < count && from >= 0 && part.rows.At(row + together) == from + together)
      ++together;
    return together;
  }
  if (part.rows.run_rows == 0) return count;
  return std::min(count, part.rows.run_rows - row % part.rows.run_rows);
}

// Row by run: each call covers rows of one run only.
Status ReadRuns(const Constant& constant, const TensorSource& source, int64_t row_begin,
                int64_t row_end, std::span<double> merged, std::span<double> base) {
  const TensorPart& part = constant.part;
  const int64_t width = constant.row_elements();
  const int64_t rows_of_source =
      constant.rows() / static_cast<int64_t>(std::max<size_t>(1, part.sources.size()));
  for (int64_t row = row_begin; row < row_end;) {
    const int64_t count = RowsTogether(part, rows_of_source, row, row_end);
    const auto at = static_cast<size_t>((row - row_begin) * width);
    const auto elements = static_cast<size_t>(count * width);
    const std::span<double> to = merged.subspan(at, elements);
    const std::span<double> base_to = base.empty() ? base : base.subspan(at, elements);
    const bool one_source = part.sources.empty();
    const int64_t from = part.rows.At(one_source ? row : row % rows_of_source);
    if (from < 0) {
      std::fill(to.begin(), to.end(), 0.0);
      std::fill(base_to.begin(), base_to.end(), 0.0);
    } else {
      const std::string& name =
          one_source ? part.source : part.sources[static_cast<size_t>(row / rows_of_source)];
      GRAFT_RETURN_IF_ERROR(Read(source, name, from, from + count, to, base_to));
    }
    row += count;
  }
  return OkStatus();
}

Status ReadColumns(const Constant& constant, const TensorSource& source, int64_t row_begin,
                   int64_t row_end, std::span<double> merged, std::span<double> base) {
  thread_local std::vector<double> block;
  thread_local std::vector<double> base_block;
  const TensorPart& part = constant.part;
  const int64_t depth = constant.row_elements();
  const int64_t source_width = part.source_rows;
  const int64_t step = std::max<int64_t>(1, kBlockElements / source_width);
  for (int64_t first = 0; first < depth; first += step) {
    const int64_t count = std::min(step, depth - first);
    block.resize(static_cast<size_t>(count * source_width));
    base_block.resize(base.empty() ? 0 : block.size());
    GRAFT_RETURN_IF_ERROR(
        Read(source, part.source, first, first + count, block, std::span(base_block)));
    for (int64_t row = row_begin; row < row_end; ++row) {
      const int64_t column = part.rows.At(row);
      const int64_t to = (row - row_begin) * depth + first;
      for (int64_t i = 0; i < count; ++i) {
        const auto from = static_cast<size_t>(i * source_width + column);
        merged[static_cast<size_t>(to + i)] = block[from];
        if (!base.empty()) base[static_cast<size_t>(to + i)] = base_block[from];
      }
    }
  }
  return OkStatus();
}

// Reads the columns of each row's group and puts them in their place among zeros.
Status ReadGroups(const Constant& constant, const TensorSource& source, int64_t row_begin,
                  int64_t row_end, std::span<double> merged, std::span<double> base) {
  thread_local std::vector<double> own;
  thread_local std::vector<double> base_own;
  const TensorPart& part = constant.part;
  const int64_t width = constant.row_elements();
  const int64_t own_width = width / part.groups;
  const int64_t group_rows = constant.rows() / part.groups;
  own.resize(static_cast<size_t>((row_end - row_begin) * own_width));
  base_own.resize(base.empty() ? 0 : own.size());
  GRAFT_RETURN_IF_ERROR(Read(source, part.source, row_begin, row_end, own, std::span(base_own)));
  std::fill(merged.begin(), merged.end(), 0.0);
  std::fill(base.begin(), base.end(), 0.0);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t from = (row - row_begin) * own_width;
    const int64_t to = (row - row_begin) * width + row / group_rows * own_width;
    std::copy_n(own.begin() + from, own_width, merged.begin() + to);
    if (!base.empty()) std::copy_n(base_own.begin() + from, own_width, base.begin() + to);
  }
  return OkStatus();
}

// Reads rows of the source whole, and keeps the columns that are wanted.
Status ReadPicked(const Constant& constant, const TensorSource& source, int64_t row_begin,
                  int64_t row_end, std::span<double> merged, std::span<double> base) {
  const TensorPart& part = constant.part;
  Constant whole = constant;
  whole.shape = {constant.rows(), part.source_columns};
  whole.part.columns.clear();
  const int64_t width = constant.row_elements();
  std::vector<double> row(static_cast<size_t>(part.source_columns));
  std::vector<double> base_row(base.empty() ? 0 : row.size());
  for (int64_t i = row_begin; i < row_end; ++i) {
    GRAFT_RETURN_IF_ERROR(ReadRuns(whole, source, i, i + 1, row, base_row));
    for (int64_t j = 0; j < width; ++j) {
      const auto to = static_cast<size_t>((i - row_begin) * width + j);
      const auto from = static_cast<size_t>(part.columns[static_cast<size_t>(j)]);
      merged[to] = row[from];
      if (!base.empty()) base[to] = base_row[from];
    }
  }
  return OkStatus();
}

// out[row][c] = sum over k of rows[row][k] * vectors[k][c], in the order of k.
void Multiply(std::span<const double> rows, size_t depth, const std::vector<double>& vectors,
              std::span<double> out) {
  const size_t columns = vectors.size() / depth;
  std::fill(out.begin(), out.end(), 0.0);
  for (size_t i = 0; i < rows.size(); ++i) {
    const double* vector = vectors.data() + i % depth * columns;
    double* to = out.data() + i / depth * columns;
    for (size_t c = 0; c < columns; ++c) to[c] += rows[i] * vector[c];
  }
}

Status ReadProducts(const Constant& constant, const TensorSource& source, int64_t row_begin,
                    int64_t row_end, std::span<double> merged, std::span<double> base) {
  thread_local std::vector<double> own;
  thread_local std::vector<double> base_own;
  const TensorPart& part = constant.part;
  const size_t depth = part.vectors->size() / static_cast<size_t>(constant.row_elements());
  own.resize(static_cast<size_t>(row_end - row_begin) * depth);
  base_own.resize(base.empty() ? 0 : own.size());
  GRAFT_RETURN_IF_ERROR(Read(source, part.source, row_begin, row_end, own, std::span(base_own)));
  Multiply(own, depth, *part.vectors, merged);
  if (!base.empty()) Multiply(base_own, depth, *part.vectors, base);
  return OkStatus();
}

// Row `row` of a matrix of the stack, which is there as a whole.
void CopyRow(const Constant& constant, std::span<const double> matrix, int64_t row,
             std::span<double> out) {
  const TensorPart& part = constant.part;
  const int64_t from = part.rows.At(row);
  if (!part.transposed) {
    const auto width = static_cast<int64_t>(out.size());
    std::copy_n(matrix.begin() + from * width, width, out.begin());
    return;
  }
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = matrix[i * static_cast<size_t>(part.source_rows) + static_cast<size_t>(from)];
}

// Each matrix of which rows are wanted is read as a whole: it is a row of its source.
Status ReadStack(const Constant& constant, const TensorSource& source, int64_t row_begin,
                 int64_t row_end, std::span<double> merged, std::span<double> base) {
  const TensorPart& part = constant.part;
  const auto width = static_cast<size_t>(constant.row_elements());
  const int64_t rows_each = constant.rows() / part.stack;
  std::vector<double> matrix(static_cast<size_t>(part.source_rows) * width);
  std::vector<double> base_matrix(base.empty() ? 0 : matrix.size());
  int64_t held = -1;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t number = row / rows_each;
    if (number != held) {
      GRAFT_RETURN_IF_ERROR(
          Read(source, part.source, number, number + 1, matrix, std::span(base_matrix)));
      held = number;
    }
    const size_t to = static_cast<size_t>(row - row_begin) * width;
    CopyRow(constant, matrix, row % rows_each, merged.subspan(to, width));
    if (!base.empty()) CopyRow(constant, base_matrix, row % rows_each, base.subspan(to, width));
  }
  return OkStatus();
}

void ApplyToRows(const TensorPart& part, int64_t row_begin, int64_t width,
                 std::span<double> numbers) {
  if (part.row_factors.empty() && part.row_offsets.empty() && part.column_factors.empty()) return;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t row = static_cast<size_t>(row_begin) + i / static_cast<size_t>(width);
    if (!part.row_factors.empty()) numbers[i] *= part.row_factors[row];
    if (!part.row_offsets.empty()) numbers[i] += part.row_offsets[row];
    if (!part.column_factors.empty())
      numbers[i] *= part.column_factors[i % static_cast<size_t>(width)];
  }
}

}  // namespace

int64_t Constant::row_elements() const {
  int64_t elements = 1;
  for (size_t i = 1; i < shape.size(); ++i) elements *= shape[i];
  return elements;
}

int64_t RowsPerRead(const Constant& constant) {
  if (constant.part.stack > 0) {
    const int64_t rows_each = constant.rows() / constant.part.stack;
    const int64_t most = std::max<int64_t>(1, kStackedBlockElements / constant.row_elements());
    const int64_t reads = (rows_each + most - 1) / most;
    return (rows_each + reads - 1) / reads;
  }
  const int64_t elements = constant.part.transposed ? kTransposedBlockElements : kBlockElements;
  return std::max<int64_t>(1, elements / constant.row_elements());
}

Status ReadConstant(const Constant& constant, const TensorSource& source, int64_t row_begin,
                    int64_t row_end, std::span<double> merged, std::span<double> base) {
  const TensorPart& part = constant.part;
  if (part.source.empty()) {
    const int64_t width = constant.row_elements();
    std::copy(constant.literal.begin() + row_begin * width,
              constant.literal.begin() + row_end * width, merged.begin());
    std::copy_n(merged.begin(), base.size(), base.begin());
    return OkStatus();
  }
  const auto read = part.stack > 0          ? ReadStack
                    : part.vectors          ? ReadProducts
                    : !part.columns.empty() ? ReadPicked
                    : part.groups > 1       ? ReadGroups
                    : part.transposed       ? ReadColumns
                                            : ReadRuns;
  GRAFT_RETURN_IF_ERROR(read(constant, source, row_begin, row_end, merged, base));
  if (part.factor != 1.0 || part.offset != 0.0) {
    for (double& number : merged) number = number * part.factor + part.offset;
    for (double& number : base) number = number * part.factor + part.offset;
  }
  ApplyToRows(part, row_begin, constant.row_elements(), merged);
  ApplyToRows(part, row_begin, constant.row_elements(), base);
  return OkStatus();
}

}  // namespace graft::converter
