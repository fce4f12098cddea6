// SPDX-License-Identifier: Apache-2.0
// ConvolutionOperator: some rows of what a convolution gives, through XNNPACK, on kernels packed
// once and shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "runtime/xnn/linear_weights.h"
#include "schema/status.h"

namespace graft::runtime {

/// Zeros around an image.
struct ImagePadding {
  uint32_t top = 0, right = 0, bottom = 0, left = 0;
};

/// Rows of an image, and the zeros around them, that make rows of output.
struct ImageStripe {
  size_t height = 0, width = 0;
  ImagePadding padding;
};

class ConvolutionOperator {
 public:
  ConvolutionOperator();
  ~ConvolutionOperator();
  ConvolutionOperator(const ConvolutionOperator&) = delete;
  ConvolutionOperator& operator=(const ConvolutionOperator&) = delete;

  /// Bytes that Create finds needed to work in are at most this: a pointer for each place under the
  /// window, at `windows` places of it.
  static uint64_t WorkspaceBound(uint64_t windows, size_t kernel);

  /// An operator on packed kernels, which must outlive it.
  /// Errors   kUnsupported, kOutOfMemory; each names the tensor.
  Status Create(const char* name, const LinearWeights& weights, const ImageStripe& stripe,
                const OutputBounds& bounds);

  /// Bytes of memory that Run works in; WorkspaceBound or less.
  size_t workspace_bytes() const;

  /// image: the stripe's first row. workspace: of workspace_bytes(), aligned to a cache line.
  Status Prepare(const float* image, void* workspace, float* output);
  /// Computes on the calling thread.
  /// Requires Prepare. Allocates nothing.
  Status Run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace graft::runtime
