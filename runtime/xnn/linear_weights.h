// SPDX-License-Identifier: Apache-2.0
// LinearWeights: a weight matrix as the kernels of this CPU read it, and where its rows lie in it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/embedding.h"
#include "schema/status.h"

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
  /// Slices start at multiples of this many output rows; 0: cannot be sliced.
  size_t tile_rows = 0;
  uint64_t row_bytes = 0;  ///< packed bytes of each row, if it can be sliced
  /// Rows of a tile that PackBlocks packs as XNNPACK does; 0: it does not.
  size_t block_tile = 0;
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
