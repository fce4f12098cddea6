// SPDX-License-Identifier: Apache-2.0
// LowRankRows: W += scale * left * right, the sum over the rank in float64 and in ascending order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "converter/merge/updates/row_update.h"
#include "converter/merge/updates/workspace.h"

namespace graft::converter {

/// The two factors of an update of a [rows, columns] matrix, read when they are needed.
struct LowRankFactors {
  int64_t rank = 0;
  int64_t columns = 0;
  /// Fills out[(row_end - row_begin) * rank] with rows of the left factor, [rows, rank].
  RowReader read_left;
  /// Fills out[rank * columns] with the right factor, [rank, columns].
  std::function<Status(std::span<double> out)> read_right;
  /// Whether both hold float32 or narrower numbers, whose products float64 holds exactly.
  bool exact_products = true;
  double scale = 1;
};

class LowRankRows final : public RowUpdate {
 public:
  explicit LowRankRows(LowRankFactors factors);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;
  int64_t columns() const { return factors_.columns; }

 private:
  LowRankFactors factors_;
  size_t block_columns_;
  PreparedMatrix right_;  // in blocks of so many columns
};

/// One stored factor: `entry` seen as a matrix of shape[0] rows, the rest of the dimensions
/// flattened.
struct StoredFactor {
  const WeightFile* file = nullptr;
  const WeightFile::Entry* entry = nullptr;
};

/// delta = scale * b * a, for a matrix stored [out_features, in_features] (also a convolution,
/// kernel flattened into the columns).
/// Shapes   a [rank, in_features], b [out_features, rank].
LowRankFactors ProductFactors(StoredFactor a, StoredFactor b, double scale);

/// delta = scale * (b * a) transposed, for a matrix stored [in_features, out_features], or an
/// embedding [tokens, width] whose factors are a [rank, tokens] and b [width, rank].
LowRankFactors TransposedFactors(StoredFactor a, StoredFactor b, double scale);

}  // namespace graft::converter
