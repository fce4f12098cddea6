// SPDX-License-Identifier: Apache-2.0
// LinearOperator: y = x W^T + b through XNNPACK, on weights packed once and shared. The only door
// to XNNPACK.
//
// XNNPACK asks a "weights cache provider" where packed weights are. Its own key (an XOR of shapes
// and two pointers) can collide and leaves out the scales, so each operator here gets a provider of
// its own that knows one answer: the bytes it was made for. The packed layout is linear in tiles of
// output rows, which lets an operator work on a slice of a weight's rows, and lets slices be packed
// by several threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/kernels/embedding.h"
#include "runtime/kernels/row_kernels.h"
#include "schema/result.h"

namespace graft::runtime {

/// Bytes that a kernel may read after the last element of an activation or a packed weight.
inline constexpr size_t kReadableTailBytes = 128;
/// Entries of RowQuantization that a kernel may read after the last row's.
inline constexpr size_t kExtraQuantizations = 16;

/// One weight matrix, with its bias, as the kernels of this CPU read it.
struct LinearWeights {
  WeightFormat format = WeightFormat::kFloat32;
  size_t out_features = 0;
  size_t in_features = 0;
  size_t block_size = 0;
  uint64_t packed_bytes = 0;
  size_t tile_rows =
      0;  ///< slices start at multiples of this many output rows; 0: cannot be sliced
  uint64_t row_bytes = 0;  ///< packed bytes of each row, if it can be sliced
  size_t block_tile = 0;   ///< rows of a tile that PackBlocks packs as XNNPACK does; 0: it does not
  const uint8_t* packed = nullptr;

  /// Whether the kernels take int8 activations with a RowQuantization for each row.
  bool quantizes_input() const { return format >= WeightFormat::kInt8Channel; }
};

/// Sets up XNNPACK for this CPU, once in a process.
/// Errors   kUnsupported, kOutOfMemory.
Status InitializeKernels();

/// Fills in packed_bytes, tile_rows and row_bytes for this CPU. `name` is the tensor's, for
/// messages.
/// Errors   kUnsupported: no kernel for this format on this CPU.
Status FindLayout(const char* name, LinearWeights* weights);

/// Where output rows [begin, end) lie in the packed weight, and how many bytes they take. begin is
/// a multiple of tile_rows, and end too or the last row.
struct PackedRange {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};
PackedRange PackedRangeOf(const LinearWeights& weights, size_t begin, size_t end);

/// Packs output rows [begin, end) of `matrix` into the bytes of their PackedRange, which start at
/// `packed`. bias [out_features] or null. f16 and bf16 become f32.
/// Errors   kUnsupported, kOutOfMemory, kCorrupt (a scale that is not positive and normal), naming
///          the tensor.
Status PackRows(const char* name, const LinearWeights& weights, const StoredMatrix& matrix,
                const float* bias, size_t begin, size_t end, uint8_t* packed);

class LinearOperator {
 public:
  LinearOperator();
  ~LinearOperator();
  LinearOperator(const LinearOperator&) = delete;
  LinearOperator& operator=(const LinearOperator&) = delete;

  /// An operator on output rows [begin, end) of packed weights, which must outlive it. unit_scales:
  /// at least (end - begin) * in_features / block_size times 1.0 in bf16, for kInt4Block, read only
  /// during the call.
  Status Create(const char* name, const LinearWeights& weights, size_t begin, size_t end,
                const uint16_t* unit_scales);

  /// For `rows` rows of input: f32, or int8 codes with `quantization`. output points at column
  /// `begin` of the first output row; its rows are out_features apart.
  Status Prepare(size_t rows, const void* input, const RowQuantization* quantization,
                 float* output);
  /// Computes on the calling thread.
  /// Requires Prepare. Allocates nothing.
  Status Run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft::runtime
