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

#include "runtime/kernels/row_kernels.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/status.h"

namespace graft::runtime {

/// Sets up XNNPACK for this CPU, once in a process; after a failure the next call tries again.
/// Errors   kUnsupported, kOutOfMemory.
Status InitializeKernels();

class LinearOperator {
 public:
  LinearOperator();
  ~LinearOperator();
  LinearOperator(const LinearOperator&) = delete;
  LinearOperator& operator=(const LinearOperator&) = delete;

  /// An operator on output rows [begin, end) of packed weights, which must outlive it. unit_scales:
  /// at least (end - begin) * in_features / block_size times 1.0 in bf16, for kInt4Block, read only
  /// during the call. bounds: of what it computes; none for kInt4Block.
  Status Create(const char* name, const LinearWeights& weights, size_t begin, size_t end,
                const uint16_t* unit_scales, const OutputBounds& bounds = {});

  /// From the next Prepare on: the same rows of other weights of the same shape and layout, which
  /// begin at `packed`.
  void Rebind(const uint8_t* packed);

  /// For `rows` rows of input: f32, or int8 codes with `quantization`. output points at column
  /// `begin` of the first output row; its rows are out_features apart. singly: each row is to be what
  /// it is if it is the only one, bit for bit. Where kernels may differ rows go through one by one,
  /// while the weights are near.
  Status Prepare(size_t rows, const void* input, const RowQuantization* quantization, float* output,
                 bool singly = false);
  /// Computes on the calling thread.
  /// Requires Prepare. Allocates nothing.
  Status Run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft::runtime
