// SPDX-License-Identifier: Apache-2.0
// PackedWeights: the weights of every linear op, laid out for this CPU. Immutable once made, shared
// by all sessions.
//
// Made in two steps that a cache file can come between: first the layout, which depends on shapes
// and the CPU only, gives each weight its place in one run of memory; then the places are filled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/data_source.h"
#include "runtime/page_memory.h"
#include "runtime/xnn/linear_operator.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// `tensor` as it lies in the file. Requires a matrix of numbers.
StoredMatrix MatrixOf(const schema::VerifiedModel& model, const schema::fb::Tensor& tensor);

class PackedWeights {
 public:
  /// Packs on `threads` threads and lets go of each weight's pages in the source once it is packed.
  /// Errors   kUnsupported, kOutOfMemory, kCorrupt; each
  /// names the tensor.
  static Result<std::unique_ptr<PackedWeights>> Pack(const schema::VerifiedModel& model,
                                                     const DataSource& source, unsigned threads);

  /// The weights of op `op` of the graph, which must be a Linear.
  const LinearWeights& linear(uint32_t op) const { return entries_[entry_of_op_[op]].weights; }
  uint64_t bytes() const { return memory_.size(); }

 private:
  struct Entry {
    int32_t weight = -1;  // tensor indices
    int32_t bias = -1;
    LinearWeights weights;
    uint64_t offset = 0;  // in memory_
  };

  Status FindEntries(const schema::VerifiedModel& model);
  Status Fill(const schema::VerifiedModel& model, const DataSource& source, unsigned threads);

  std::vector<Entry> entries_;
  std::vector<uint32_t> entry_of_op_;
  PageMemory memory_;
};

}  // namespace graft::runtime
