// SPDX-License-Identifier: Apache-2.0
// Row norms on the way, column norms in a pass of their own; both summed in an order that no vector
// width changes.
#include "converter/merge/updates/dora.h"

#include <algorithm>
#include <cmath>

namespace graft::converter {
namespace {

// Eight running sums, added in a fixed order at the end.
double SumOfSquares(std::span<const double> values) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= values.size(); i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += values[i + lane] * values[i + lane];
  }
  for (size_t lane = 0; i < values.size(); ++i, ++lane) sums[lane] += values[i] * values[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

Status ZeroNorm(StoredFactor magnitude, int64_t index) {
  return Error(
      StatusCode::kMismatch,
      "%s: tensor '%s' asks for a magnitude where output %lld of the merged weight is all zeros",
      magnitude.file->path().c_str(), magnitude.entry->info.name.c_str(),
      static_cast<long long>(index));
}

}  // namespace

Status DoraRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                           Workspace* workspace) const {
  GRAFT_RETURN_IF_ERROR(low_rank_.ApplyRows(row_begin, row_end, rows, workspace));
  const size_t columns = static_cast<size_t>(low_rank_.columns());
  std::vector<double> magnitudes(static_cast<size_t>(row_end - row_begin));
  GRAFT_RETURN_IF_ERROR(magnitude_.file->ReadElements(*magnitude_.entry, row_begin, magnitudes));
  for (size_t r = 0; r < magnitudes.size(); ++r) {
    const std::span<double> row = rows.subspan(r * columns, columns);
    const double norm = std::sqrt(SumOfSquares(row));
    if (norm == 0) return ZeroNorm(magnitude_, row_begin + static_cast<int64_t>(r));
    const double factor = magnitudes[r] / norm;
    for (double& value : row) value *= factor;
  }
  return OkStatus();
}

DoraColumns::DoraColumns(LowRankFactors factors, StoredFactor magnitude, RowReader before,
                         int64_t row_count)
    : low_rank_(std::move(factors)),
      magnitude_(magnitude),
      before_(std::move(before)),
      row_count_(row_count) {}

Status DoraColumns::Prepare(Workspace* workspace) const {
  const size_t columns = static_cast<size_t>(low_rank_.columns());
  const int64_t step =
      std::clamp<int64_t>(static_cast<int64_t>(262144 / std::max<size_t>(columns, 1)), 1, 256);
  std::vector<double> squares(columns, 0.0);
  std::vector<double> rows;
  for (int64_t begin = 0; begin < row_count_; begin += step) {
    const int64_t end = std::min(row_count_, begin + step);
    rows.resize(static_cast<size_t>(end - begin) * columns);
    GRAFT_RETURN_IF_ERROR(before_(begin, end, rows, workspace));
    GRAFT_RETURN_IF_ERROR(low_rank_.ApplyRows(begin, end, rows, workspace));
    for (size_t r = 0; r < static_cast<size_t>(end - begin); ++r) {
      for (size_t c = 0; c < columns; ++c)
        squares[c] += rows[r * columns + c] * rows[r * columns + c];
    }
  }
  factor_.resize(columns);
  GRAFT_RETURN_IF_ERROR(magnitude_.file->ReadElements(*magnitude_.entry, 0, factor_));
  for (size_t c = 0; c < columns; ++c) {
    if (squares[c] == 0) return ZeroNorm(magnitude_, static_cast<int64_t>(c));
    factor_[c] /= std::sqrt(squares[c]);
  }
  return OkStatus();
}

Status DoraColumns::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                              Workspace* workspace) const {
  std::call_once(once_, [&] { prepared_ = Prepare(workspace); });
  GRAFT_RETURN_IF_ERROR(prepared_);
  GRAFT_RETURN_IF_ERROR(low_rank_.ApplyRows(row_begin, row_end, rows, workspace));
  for (size_t i = 0; i < rows.size(); i += factor_.size()) {
    for (size_t c = 0; c < factor_.size(); ++c) rows[i + c] *= factor_[c];
  }
  return OkStatus();
}

}  // namespace graft::converter
