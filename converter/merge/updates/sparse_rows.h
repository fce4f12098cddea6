// SPDX-License-Identifier: Apache-2.0
// AddSparse: single numbers of a matrix change.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "converter/merge/updates/row_update.h"

namespace graft::converter {

/// A number and where it belongs in a matrix.
struct SparseNumber {
  int64_t row = 0;
  int64_t column = 0;
  double value = 0;
};

/// W[row][column] += value for each of them; those of one place in their order.
class AddSparse final : public RowUpdate {
 public:
  /// Gives the numbers, in any order.
  using Read = std::function<Status(std::vector<SparseNumber>* numbers)>;

  /// `columns` of the matrix. `read` is called once.
  AddSparse(int64_t columns, Read read) : columns_(columns), read_(std::move(read)) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  int64_t columns_;
  Read read_;
  mutable std::once_flag once_;
  mutable Status prepared_;
  mutable std::vector<SparseNumber> numbers_;  // by rows
};

}  // namespace graft::converter
