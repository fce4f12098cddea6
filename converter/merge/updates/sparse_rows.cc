// SPDX-License-Identifier: Apache-2.0
// The numbers are sorted by rows once, and then found by bisection.
#include "converter/merge/updates/sparse_rows.h"

#include <algorithm>

namespace graft::converter {

Status AddSparse::ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                            Workspace* /*workspace*/) const {
  std::call_once(once_, [this] {
    prepared_ = read_(&numbers_);
    std::stable_sort(numbers_.begin(), numbers_.end(),
                     [](const SparseNumber& a, const SparseNumber& b) { return a.row < b.row; });
  });
  GRAFT_RETURN_IF_ERROR(prepared_);
  const auto first =
      std::lower_bound(numbers_.begin(), numbers_.end(), row_begin,
                       [](const SparseNumber& number, int64_t row) { return number.row < row; });
  for (auto number = first; number != numbers_.end() && number->row < row_end; ++number) {
    rows[static_cast<size_t>((number->row - row_begin) * columns_ + number->column)] +=
        number->value;
  }
  return OkStatus();
}

}  // namespace graft::converter
