// SPDX-License-Identifier: Apache-2.0
// Updates that multiply two matrices other than as rows by columns: element by element (LoHa), or
// each by each (LoKr).
#pragma once

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"
#include "converter/merge/updates/workspace.h"

namespace graft::converter {

/// W += scale * (first (.) second), both products of two factors.
/// Source   Hyeon-Woo et al. 2021, "FedPara", section 2.2.
class HadamardRows final : public RowUpdate {
 public:
  HadamardRows(LowRankFactors first, LowRankFactors second, double scale)
      : first_(std::move(first)), second_(std::move(second)), scale_(scale) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  LowRankRows first_;
  LowRankRows second_;
  double scale_;
};

/// One matrix of a Kronecker product, worked out from however many factors it is stored as.
struct DenseMatrix {
  int64_t rows = 0;
  int64_t columns = 0;
  PreparedMatrix::Fill fill;
};

/// The matrix stored as it is, [shape[0], rest].
DenseMatrix StoredMatrix(StoredFactor matrix);
/// The product of two factors, with `rows` rows.
DenseMatrix ProductMatrix(LowRankFactors factors, int64_t rows);

/// W += scale * (first (x) second): row i1 * second.rows + i2, column j1 * second.columns + j2 gets
/// first[i1][j1] * second[i2][j2].
/// Source   Yeh et al. 2023, "LyCORIS", section 3.
class KroneckerRows final : public RowUpdate {
 public:
  KroneckerRows(DenseMatrix first, DenseMatrix second, double scale);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  int64_t first_columns_;
  int64_t second_rows_;
  int64_t second_columns_;
  PreparedMatrix first_;
  PreparedMatrix second_;
  double scale_;
};

}  // namespace graft::converter
