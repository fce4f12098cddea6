// SPDX-License-Identifier: Apache-2.0
// Updates that multiply whole rows or columns (IA3), or put single rows in place (trained tokens).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"

namespace graft::converter {

/// Row r times factors[r], for a vector as for a matrix.
class ScaleRows final : public RowUpdate {
 public:
  explicit ScaleRows(StoredFactor factors) : factors_(factors) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  StoredFactor factors_;
};

/// Column c times factors[c / group]: a group is the kernel of a convolution, 1 for a plain matrix.
class ScaleColumns final : public RowUpdate {
 public:
  ScaleColumns(StoredFactor factors, int64_t columns, int64_t group);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  PreparedMatrix factors_;
  size_t group_;
};

/// Row indices[i] becomes row i of `values`.
class ReplaceSomeRows final : public RowUpdate {
 public:
  /// Requires indices to be different from one another and within the tensor.
  ReplaceSomeRows(StoredFactor values, std::span<const int64_t> indices);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  StoredFactor values_;
  std::vector<std::pair<int64_t, int64_t>> places_;  // row of the tensor, row of values_; ascending
};

}  // namespace graft::converter
