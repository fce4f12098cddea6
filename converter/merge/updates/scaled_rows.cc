// SPDX-License-Identifier: Apache-2.0
// IA3's scaling and trained tokens by rows.
#include "converter/merge/updates/scaled_rows.h"

#include <algorithm>

namespace graft::converter {

Status ScaleRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                            Workspace* /*workspace*/) const {
  std::vector<double> factors(static_cast<size_t>(row_end - row_begin));
  if (factors.empty()) return OkStatus();
  GRAFT_RETURN_IF_ERROR(factors_.file->ReadElements(*factors_.entry, row_begin, factors));
  const size_t columns = rows.size() / factors.size();
  for (size_t i = 0; i < rows.size(); ++i) rows[i] *= factors[i / columns];
  return OkStatus();
}

ScaleColumns::ScaleColumns(StoredFactor factors, int64_t columns, int64_t group)
    : factors_(static_cast<size_t>(columns / group),
               [factors](std::span<double> out) {
                 return factors.file->ReadElements(*factors.entry, 0, out);
               }),
      group_(static_cast<size_t>(group)) {}

Status ScaleColumns::ApplyRows(int64_t, int64_t, std::span<double> rows,
                               Workspace* workspace) const {
  GRAFT_ASSIGN_OR_RETURN(const std::span<const double> factors, workspace->Get(factors_));
  const size_t columns = factors.size() * group_;
  for (size_t row = 0; row < rows.size(); row += columns) {
    for (size_t c = 0; c < columns; ++c) rows[row + c] *= factors[c / group_];
  }
  return OkStatus();
}

ReplaceSomeRows::ReplaceSomeRows(StoredFactor values, std::span<const int64_t> indices)
    : values_(values) {
  for (size_t i = 0; i < indices.size(); ++i)
    places_.emplace_back(indices[i], static_cast<int64_t>(i));
  std::sort(places_.begin(), places_.end());
}

Status ReplaceSomeRows::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                                  Workspace* /*workspace*/) const {
  const int64_t columns = values_.entry->info.row_elements();
  for (auto place =
           std::lower_bound(places_.begin(), places_.end(), std::pair(row_begin, int64_t{0}));
       place != places_.end() && place->first < row_end; ++place) {
    const size_t at = static_cast<size_t>((place->first - row_begin) * columns);
    GRAFT_RETURN_IF_ERROR(values_.file->ReadRows(*values_.entry, place->second, place->second + 1,
                                                 rows.subspan(at, static_cast<size_t>(columns))));
  }
  return OkStatus();
}

}  // namespace graft::converter
