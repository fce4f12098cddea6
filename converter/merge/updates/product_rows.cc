// SPDX-License-Identifier: Apache-2.0
// LoHa and LoKr by rows.
#include "converter/merge/updates/product_rows.h"

#include <algorithm>

namespace graft::converter {

Status HadamardRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                               Workspace* workspace) const {
  std::vector<double> first(rows.size(), 0.0);
  std::vector<double> second(rows.size(), 0.0);
  GRAFT_RETURN_IF_ERROR(first_.ApplyRows(row_begin, row_end, first, workspace));
  GRAFT_RETURN_IF_ERROR(second_.ApplyRows(row_begin, row_end, second, workspace));
  for (size_t i = 0; i < rows.size(); ++i) {
    const double delta = scale_ * (first[i] * second[i]);
    if (delta != 0) rows[i] += delta;
  }
  return OkStatus();
}

DenseMatrix StoredMatrix(StoredFactor matrix) {
  return {
      matrix.entry->info.rows(), matrix.entry->info.row_elements(),
      [matrix](std::span<double> out) { return matrix.file->ReadElements(*matrix.entry, 0, out); }};
}

DenseMatrix ProductMatrix(LowRankFactors factors, int64_t rows) {
  const int64_t columns = factors.columns;
  const auto product = std::make_shared<LowRankRows>(std::move(factors));
  return {rows, columns, [product, rows](std::span<double> out) -> Status {
            std::fill(out.begin(), out.end(), 0.0);
            Workspace workspace;  // the factors are of no use once their product is there
            return product->ApplyRows(0, rows, out, &workspace);
          }};
}

KroneckerRows::KroneckerRows(DenseMatrix first, DenseMatrix second, double scale)
    : first_columns_(first.columns),
      second_rows_(second.rows),
      second_columns_(second.columns),
      first_(static_cast<size_t>(first.rows * first.columns), std::move(first.fill)),
      second_(static_cast<size_t>(second.rows * second.columns), std::move(second.fill)),
      scale_(scale) {}

Status KroneckerRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                                Workspace* workspace) const {
  GRAFT_ASSIGN_OR_RETURN(const std::span<const double> first, workspace->Get(first_));
  GRAFT_ASSIGN_OR_RETURN(const std::span<const double> second, workspace->Get(second_));
  const size_t width = static_cast<size_t>(second_columns_);
  double* out = rows.data();
  for (int64_t row = row_begin; row < row_end; ++row) {
    const double* left = first.data() + row / second_rows_ * first_columns_;
    const double* right = second.data() + row % second_rows_ * second_columns_;
    for (int64_t j = 0; j < first_columns_; ++j, out += width) {
      for (size_t c = 0; c < width; ++c) {
        const double delta = scale_ * (left[j] * right[c]);
        if (delta != 0) out[c] += delta;
      }
    }
  }
  return OkStatus();
}

}  // namespace graft::converter
