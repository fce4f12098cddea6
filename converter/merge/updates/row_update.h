// SPDX-License-Identifier: Apache-2.0
// RowUpdate: what one step of an adapter does to a block of rows; every kind of adapter is made of
// these.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "converter/merge/updates/workspace.h"
#include "converter/tensors/weight_file.h"
#include "schema/status.h"

namespace graft::converter {

class RowUpdate {
 public:
  virtual ~RowUpdate() = default;

  /// Changes rows [row_begin, row_end) in place. `rows` holds the values so far, float64,
  /// row-major; the result for a row does not depend on which other rows are in the block, nor on
  /// what `workspace` holds.
  /// Thread   safe; each thread with a workspace of its own.
  virtual Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                           Workspace* workspace) const = 0;

  /// Whether it ignores the values so far.
  virtual bool Overwrites() const { return false; }
};

/// Reads rows of a tensor as an update finds them: for updates that need more than the rows at
/// hand.
using RowReader = std::function<Status(int64_t row_begin, int64_t row_end, std::span<double> out,
                                       Workspace* workspace)>;

/// Puts the rows of another tensor in place of those so far.
class ReplaceRows final : public RowUpdate {
 public:
  ReplaceRows(const WeightFile* file, const WeightFile::Entry* entry)
      : file_(file), entry_(entry) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* /*workspace*/) const override {
    return file_->ReadRows(*entry_, row_begin, row_end, rows);
  }
  bool Overwrites() const override { return true; }

 private:
  const WeightFile* file_;
  const WeightFile::Entry* entry_;
};

/// Adds scale * vector to a vector.
class AddVector final : public RowUpdate {
 public:
  AddVector(const WeightFile* file, const WeightFile::Entry* entry, double scale)
      : file_(file), entry_(entry), scale_(scale) {}
  Status ApplyRows(int64_t row_begin, int64_t row_end, std::span<double> rows,
                   Workspace* workspace) const override;

 private:
  const WeightFile* file_;
  const WeightFile::Entry* entry_;
  double scale_;
};

}  // namespace graft::converter
