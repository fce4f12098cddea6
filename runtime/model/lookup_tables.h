// SPDX-License-Identifier: Apache-2.0
// LookupTables: the tables of a model whose rows are read where the file is mapped. Each row that
// is looked up brings in pages around it, and over a long conversation that would be the whole
// table, often a fifth of the model: here they are let go again after some rows.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/platform/data_source.h"
#include "schema/verify.h"

namespace graft::runtime {

/// What Linux maps when one byte of a cached file is touched.
inline constexpr uint64_t kMappedAroundBytes = uint64_t{64} << 10;

class LookupTables {
 public:
  /// Rows that may be looked up before their pages are let go.
  static constexpr size_t kRowsHeld = 32;
  /// Smaller tables may stay in memory.
  static constexpr uint64_t kSmallTableBytes = uint64_t{4} << 20;

  LookupTables(const schema::VerifiedModel& model, const DataSource& source);

  /// Says that `rows` rows of tables were read and will not be for a while. Any thread.
  void DidRead(size_t rows) const;

  /// Bytes of tables that stay in memory, and of those that are let go.
  uint64_t small_bytes() const { return small_bytes_; }
  uint64_t large_bytes() const { return large_bytes_; }
  /// Runs of bytes that a row of a large table is read from: 2 if scales lie apart.
  size_t large_ranges() const { return ranges_.size(); }

 private:
  struct Range {
    uint64_t offset, size;
  };

  const DataSource& source_;
  std::vector<Range> ranges_;  // of large tables
  uint64_t small_bytes_ = 0;
  uint64_t large_bytes_ = 0;
  mutable std::atomic<size_t> rows_held_{0};
};

}  // namespace graft::runtime
