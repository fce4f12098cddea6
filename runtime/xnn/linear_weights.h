// SPDX-License-Identifier: Apache-2.0
// LinearWeights: a weight matrix as the kernels of this CPU read it, and where its rows lie in it.
#pragma once

#include <cmath>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "runtime/kernels/embedding.h"
#include "runtime/kernels/products/block_product.h"
#include "schema/status.h"

namespace graft::runtime {

/// Bytes that a kernel may read after the last element of an activation or a packed weight.
inline constexpr size_t kReadableTailBytes = 128;
/// Entries of RowQuantization that a kernel may read after the last row's.
inline constexpr size_t kExtraQuantizations = 16;

/// Limits of what an operator gives.
struct OutputBounds {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();

  bool any() const { return std::isfinite(low) || std::isfinite(high); }
};

/// What the kernels of a convolution are, beside a matrix.
struct ImageKernelShape {
  uint32_t groups = 0;  ///< 0: no convolution
  uint32_t kernel_height = 0, kernel_width = 0;
  uint32_t stride_height = 0, stride_width = 0;
  uint32_t dilation_height = 0, dilation_width = 0;

  size_t kernel() const { return size_t{kernel_height} * kernel_width; }
  auto operator<=>(const ImageKernelShape&) const = default;
};

/// One weight matrix, with its bias, as the kernels of this CPU read it.
struct LinearWeights {
  WeightFormat format = WeightFormat::kFloat32;
  size_t out_features = 0;
  size_t in_features = 0;
  size_t block_size = 0;
  uint64_t packed_bytes = 0;
  /// Slices start at multiples of this many output rows; 0: cannot be sliced.
  size_t tile_rows = 0;
  uint64_t row_bytes = 0;  ///< packed bytes of each row, if it can be sliced
  /// A tile that PackBlocks packs as XNNPACK does; of 0 rows: it does not.
  BlockTile block_tile;
  /// Of a convolution: computed in floats, whatever the stored format; cannot be sliced. A matrix
  /// becomes one of a single pixel where FindLayout finds that faster.
  ImageKernelShape convolution;
  const uint8_t* packed = nullptr;

  /// Whether the kernels take int8 activations with a RowQuantization for each row.
  bool quantizes_input() const { return format >= WeightFormat::kInt8Channel; }
};

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

}  // namespace graft::runtime
