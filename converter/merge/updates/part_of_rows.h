// SPDX-License-Identifier: Apache-2.0
// PartOfRows: an update of some rows of a tensor that hold a layer of their own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "converter/merge/updates/row_update.h"

namespace graft::converter {

/// Applies `update`, which counts rows from 0, to the rows [begin, begin + count).
class PartOfRows final : public RowUpdate {
 public:
  PartOfRows(std::unique_ptr<RowUpdate> update, int64_t begin, int64_t count)
      : update_(std::move(update)), begin_(begin), end_(begin + count) {}

  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override {
    const int64_t first = std::max(row_begin, begin_);
    const int64_t last = std::min(row_end, end_);
    if (first >= last) return OkStatus();
    const auto width = static_cast<int64_t>(rows.size()) / (row_end - row_begin);
    const std::span<double> own = rows.subspan(static_cast<size_t>((first - row_begin) * width),
                                               static_cast<size_t>((last - first) * width));
    return update_->ApplyRows(first - begin_, last - begin_, own, workspace);
  }

 private:
  const std::unique_ptr<RowUpdate> update_;
  const int64_t begin_;
  const int64_t end_;
};

}  // namespace graft::converter
