// SPDX-License-Identifier: Apache-2.0
// The sums of codes that tiles of packed int4 blocks begin with, computed from the tiles themselves.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/products/block_product.h"

namespace graft::runtime {

/// Rows whose sums are computed side by side.
inline constexpr size_t kSummedRows = 8;

/// A tile of packed int4 blocks, as block_packing.h has them.
struct PackedBlocks {
  BlockTile tile;
  size_t blocks = 0;  ///< of a row
  size_t block_size = 0;
  uint8_t* packed = nullptr;
};

/// Computes the sums of all rows as PackBlocks does, to the bit. Whether the scales of the first
/// `rows` rows are such that it packs; if not, their sums are none.
/// Requires a tile of kSummedRows or a multiple of it, at most 32; a depth of 8, 4 or 1.
bool SumBlocks(const PackedBlocks& tile, size_t rows);

}  // namespace graft::runtime
