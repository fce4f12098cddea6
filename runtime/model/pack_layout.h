// SPDX-License-Identifier: Apache-2.0
// PackLayout: where each weight of a model lies once packed for this CPU. Known from shapes and the
// CPU alone, before a byte of the weights is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/xnn/linear_weights.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// `tensor` as it lies in the file.
/// Requires a matrix of numbers.
StoredMatrix MatrixOf(const schema::VerifiedModel& model, const schema::fb::Tensor& tensor);

/// A weight with its bias. A weight with two biases is two of them.
struct PackedEntry {
  int32_t weight = -1;  ///< tensor indices
  int32_t bias = -1;    ///< -1: none
  LinearWeights weights;
  uint64_t offset = 0;  ///< from the start of all packed bytes
};

/// Output rows of one entry: what one task packs, or checks.
struct PackedSlice {
  uint32_t entry = 0;
  size_t begin = 0, end = 0;
  uint64_t offset = 0;  ///< from the start of all packed bytes
  uint64_t bytes = 0;
};

struct PackLayout {
  std::vector<PackedEntry> entries;
  std::vector<uint32_t> entry_of_op;
  std::vector<PackedSlice> slices;
  uint64_t bytes = 0;  ///< of everything, with the bytes that kernels may read after the last
};

/// Requires InitializeKernels.
/// Errors   kUnsupported, kOutOfMemory; each names the tensor.
Result<PackLayout> LayOutWeights(const schema::VerifiedModel& model);

}  // namespace graft::runtime
