// SPDX-License-Identifier: Apache-2.0
// Packs int4 blocks into XNNPACK's layout in a fraction of the time its reference routine takes.
//
// A tile of output rows is: a float for each row (minus the sum over its columns of (code - 8) *
// scale, summed in the kernel's order); then for each block, groups of 2 * depth columns in which
// each row has `depth` bytes, byte j holding columns j (low) and j + depth (high) with the top bit
// of each flipped, and after the groups a sixteenth of each row's bf16 scale; then a float for each
// row, its bias.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/products/block_product.h"

namespace graft::runtime {

inline constexpr size_t kMaxTile = 32;
inline constexpr size_t kBlockDepths[] = {8, 4, 1};

/// What is packed: rows of `width` columns, two codes to a byte, low nibble first.
struct BlockRows {
  const uint8_t* data = nullptr;
  const uint16_t* scales = nullptr;  ///< bf16, one for each block of each row
  const float* bias = nullptr;       ///< one for each row, or null
  size_t rows = 0;
  size_t width = 0;
  size_t block_size = 0;
};

/// Packed bytes of a row.
size_t BlockRowBytes(size_t width, size_t block_size);

/// Writes ceil(rows / tile.rows) tiles to `packed`, rows beyond the last as zeros.
/// Requires blocks that are a multiple of 16 and divide the width, CanPackScales, tiles of at most
///          kMaxTile rows and one of kBlockDepths.
void PackBlocks(const BlockTile& tile, const BlockRows& rows, uint8_t* packed);

/// Whether every scale is positive and normal, and its sixteenth normal too.
bool CanPackScales(const BlockRows& rows);

}  // namespace graft::runtime
