// SPDX-License-Identifier: Apache-2.0
// Reads the factors, widens them once for each workspace, and hands blocks that fit the cache to the
// kernel.
#include "converter/merge/updates/low_rank_rows.h"

#include <algorithm>

#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

// [rows, columns] from its transpose as stored, [columns, rows].
Status ReadTransposed(StoredFactor factor, int64_t row_begin, int64_t row_end,
                      std::span<double> out) {
  const int64_t stored_columns = factor.entry->info.row_elements();
  const int64_t columns = factor.entry->info.rows();
  const int64_t rows = row_end - row_begin;
  std::vector<double> line(static_cast<size_t>(rows));
  for (int64_t c = 0; c < columns; ++c) {
    GRAFT_RETURN_IF_ERROR(
        factor.file->ReadElements(*factor.entry, c * stored_columns + row_begin, line));
    for (int64_t r = 0; r < rows; ++r)
      out[static_cast<size_t>(r * columns + c)] = line[static_cast<size_t>(r)];
  }
  return OkStatus();
}

// Columns of the right factor in a block that stays in the first-level cache while all rows pass
// over it.
size_t BlockColumns(size_t rank) {
  constexpr size_t kBlockElements = 2048;
  return std::max<size_t>(32, kBlockElements / std::max<size_t>(1, rank) / 16 * 16);
}

// Block after block, each [rank, its columns]: a block of a wide matrix as it is stored would be
// lines far apart, which fall on the same few places of a cache.
Status ReadInBlocks(const std::function<Status(std::span<double>)>& read, size_t columns,
                    size_t block_columns, std::span<double> out) {
  if (out.empty()) return OkStatus();
  std::vector<double> whole(out.size());
  GRAFT_RETURN_IF_ERROR(read(whole));
  auto to = out.begin();
  for (size_t column = 0; column < columns; column += block_columns) {
    const size_t width = std::min(block_columns, columns - column);
    for (size_t at = column; at < whole.size(); at += columns) {
      to = std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(at), width, to);
    }
  }
  return OkStatus();
}

bool ExactProducts(StoredFactor a, StoredFactor b) {
  return a.entry->info.dtype != DType::kFloat64 && b.entry->info.dtype != DType::kFloat64;
}

}  // namespace

Status AddVector::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                            Workspace* /*workspace*/) const {
  std::vector<double> values(rows.size());
  GRAFT_RETURN_IF_ERROR(file_->ReadElements(*entry_, row_begin, values));
  for (size_t i = 0; i < rows.size(); ++i) {
    const double delta = scale_ * values[i];
    if (delta != 0) rows[i] += delta;  // so that -0 stays -0
  }
  return OkStatus();
}

LowRankRows::LowRankRows(LowRankFactors factors)
    : factors_(std::move(factors)),
      block_columns_(BlockColumns(static_cast<size_t>(factors_.rank))),
      right_(static_cast<size_t>(factors_.rank * factors_.columns),
             [read = factors_.read_right, columns = static_cast<size_t>(factors_.columns),
              block = block_columns_](std::span<double> out) {
               return ReadInBlocks(read, columns, block, out);
             }) {}

Status LowRankRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                              Workspace* workspace) const {
  const size_t rank = static_cast<size_t>(factors_.rank);
  const size_t columns = static_cast<size_t>(factors_.columns);
  const size_t count = static_cast<size_t>(row_end - row_begin);
  if (rank == 0 || columns == 0 || count == 0) return OkStatus();

  GRAFT_ASSIGN_OR_RETURN(const std::span<const double> right, workspace->Get(right_));
  const std::span<double> left = workspace->Scratch(count * rank);
  GRAFT_RETURN_IF_ERROR(factors_.read_left(row_begin, row_end, left, workspace));

  for (size_t column = 0; column < columns; column += block_columns_) {
    const size_t width = std::min(block_columns_, columns - column);
    AddLowRank(right.data() + column * rank, width, left.data(), rank, count, width, rank,
               factors_.scale, factors_.exact_products, rows.data() + column, columns);
  }
  return OkStatus();
}

LowRankFactors ProductFactors(StoredFactor a, StoredFactor b, double scale) {
  LowRankFactors factors;
  factors.rank = a.entry->info.rows();
  factors.columns = a.entry->info.row_elements();
  factors.scale = scale;
  factors.exact_products = ExactProducts(a, b);
  factors.read_left = [b](int64_t begin, int64_t end, std::span<double> out, Workspace*) {
    return b.file->ReadRows(*b.entry, begin, end, out);
  };
  factors.read_right = [a](std::span<double> out) {
    return a.file->ReadRows(*a.entry, 0, a.entry->info.rows(), out);
  };
  return factors;
}

LowRankFactors TransposedFactors(StoredFactor a, StoredFactor b, double scale) {
  LowRankFactors factors;
  factors.rank = a.entry->info.rows();
  factors.columns = b.entry->info.rows();
  factors.scale = scale;
  factors.exact_products = ExactProducts(a, b);
  factors.read_left = [a](int64_t begin, int64_t end, std::span<double> out, Workspace*) {
    return ReadTransposed(a, begin, end, out);
  };
  factors.read_right = [b](std::span<double> out) {
    return ReadTransposed(b, 0, b.entry->info.row_elements(), out);
  };
  return factors;
}

}  // namespace graft::converter
