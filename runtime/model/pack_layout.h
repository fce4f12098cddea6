// SPDX-License-Identifier: Apache-2.0
// PackLayout: where each weight of a model lies once packed for this CPU. Known from shapes and the
// CPU alone, before a byte of the weights is read.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/xnn/linear_weights.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::schema::fb {
struct Convolution;
struct Op;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// `tensor` as it lies in the file.
/// Requires a matrix of numbers.
StoredMatrix MatrixOf(const schema::VerifiedModel& model, const schema::fb::Tensor& tensor);

/// What an op multiplies with packed, as tensor indices; weight is -1 of ops that do not.
struct OpWeight {
  int32_t weight = -1;
  int32_t bias = -1;      ///< -1: none
  uint32_t matrices = 1;  ///< that the weight's rows are, one after the other: one for each expert
  ImageKernelShape convolution = {};  ///< what is not multiplied as a matrix

  auto operator<=>(const OpWeight&) const = default;
};

/// Of Linear, of ExpertLinear, and of Convolution unless it is depthwise.
OpWeight WeightOf(const schema::VerifiedModel& model, const schema::fb::Op& op);

/// Whether each channel of a convolution is computed of itself alone.
bool IsDepthwise(const schema::VerifiedModel& model, const schema::fb::Convolution& convolution);

/// Whether a convolution is computed as a matrix of quantized numbers times patches.
bool MultipliesPatches(const schema::VerifiedModel& model,
                       const schema::fb::Convolution& convolution);

/// A weight with its bias. A weight with two biases is two of them.
struct PackedEntry {
  OpWeight source;
  LinearWeights weights;  ///< of the first matrix
  uint64_t stride = 0;    ///< packed bytes from one matrix to the next
  uint64_t offset = 0;    ///< from the start of all packed bytes

  uint64_t bytes() const { return stride * (source.matrices - uint64_t{1}) + weights.packed_bytes; }
};

/// Output rows of one matrix of an entry: what one task packs, or checks.
struct PackedSlice {
  uint32_t entry = 0;
  uint32_t matrix = 0;
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

/// The entries `wanted` of `layout`, ascending, one after another; all of them are the layout
/// itself. It has no ops.
PackLayout PartOf(const PackLayout& layout, const std::vector<uint32_t>& wanted);

}  // namespace graft::runtime
