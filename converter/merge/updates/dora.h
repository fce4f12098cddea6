// SPDX-License-Identifier: Apache-2.0
// DoRA: after the low-rank step, each output feature is scaled so that its norm is the trained
// magnitude.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"
#include "converter/merge/updates/row_update.h"

namespace graft::converter {

/// V = W + scale * b * a, then each row of V times magnitude[row] / |V row|. For matrices
/// [out_features, ...].
/// Source   Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", equation 5.
class DoraRows final : public RowUpdate {
 public:
  /// `magnitude` holds one number for each row, in any shape.
  DoraRows(LowRankFactors factors, StoredFactor magnitude)
      : low_rank_(std::move(factors)), magnitude_(magnitude) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  LowRankRows low_rank_;
  StoredFactor magnitude_;
};

/// The same where an output feature is a column: matrices [in_features, out_features], and
/// embeddings, whose magnitude belongs to each of the embedding's dimensions. The first call reads
/// the whole tensor once for the norms.
class DoraColumns final : public RowUpdate {
 public:
  /// `before` reads the rows as this update finds them; `row_count` is how many there are.
  DoraColumns(LowRankFactors factors, StoredFactor magnitude, RowReader before, int64_t row_count);
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  Status Prepare(Workspace* workspace) const;

  LowRankRows low_rank_;
  StoredFactor magnitude_;
  RowReader before_;
  int64_t row_count_;
  mutable std::once_flag once_;
  mutable Status prepared_;
  mutable std::vector<double> factor_;  // magnitude / norm for each column
};

}  // namespace graft::converter
