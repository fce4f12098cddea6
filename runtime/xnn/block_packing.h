// SPDX-License-Identifier: Apache-2.0
// Packs int4 blocks into XNNPACK's layout in a fraction of the time its reference routine takes.
//
// A tile of `tile` output rows is: a float for each row (minus the sum over its columns of (code -
// 8) * scale, summed in the kernel's order); then for each block, column groups of 16 in which each
// row has 8 bytes, byte j holding columns j (low) and j + 8 (high) with the top bit of each
// flipped, and after the groups a sixteenth of each row's bf16 scale; then a float for each row,
// its bias.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::runtime {

inline constexpr size_t kMaxTile = 32;

struct BlockLayout {
  size_t tile = 0;  ///< output rows that are packed together, at most kMaxTile
};

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

/// Writes ceil(rows / tile) tiles to `packed`, rows beyond the last as zeros.
/// Requires blocks that are a multiple of 16 and divide the width, and CanPackScales.
void PackBlocks(const BlockLayout& layout, const BlockRows& rows, uint8_t* packed);

/// Whether every scale is positive and normal, and its sixteenth normal too.
bool CanPackScales(const BlockRows& rows);

}  // namespace graft::runtime
