// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/block_packing.h"

#include <algorithm>
#include <cstring>

#if defined(__aarch64__)
#include "runtime/xnn/block_packing_neon-inl.h"
#endif

namespace graft::runtime {
namespace {

constexpr size_t kPart = 16;  // columns that are brought into order at once
constexpr uint64_t kLowNibbles = 0x0F0F0F0F0F0F0F0Fu;
constexpr uint64_t kSignBits = 0x8888888888888888u;
constexpr int kZeroPoint = 8;
constexpr uint16_t kBFloat16Exponent = 0x7F80;
constexpr uint16_t kSixteenfold = 4 << 7;  // in the exponent of a bf16

float Widen(uint16_t bfloat16) {
  const uint32_t bits = uint32_t{bfloat16} << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

/// The bytes of the low half of `value`, each with a zero byte after it.
uint64_t SpreadBytes(uint64_t value) {
  value = (value | (value << 16)) & 0x0000FFFF0000FFFFu;
  return (value | (value << 8)) & 0x00FF00FF00FF00FFu;
}

/// Sixteen columns in order, two to a byte, as the kernels read them: column j beside j + depth.
template <size_t kDepth>
uint64_t Reorder(uint64_t columns) {
  if constexpr (kDepth == 1) return columns ^ kSignBits;
  uint64_t first = 0, second = 0;  // the columns of low and of high halves, in the lower bytes
  if constexpr (kDepth == 8) {
    first = columns & 0xFFFFFFFFu;  // columns 0 to 7
    second = columns >> 32;         // columns 8 to 15
  } else {
    // Columns 0 to 3 and 8 to 11, 4 to 7 and 12 to 15.
    first = (columns & 0xFFFFu) | ((columns >> 16) & 0xFFFF0000u);
    second = ((columns >> 16) & 0xFFFFu) | ((columns >> 32) & 0xFFFF0000u);
  }
  const uint64_t even = (first & kLowNibbles) | ((second & kLowNibbles) << 4);
  const uint64_t odd = ((first >> 4) & kLowNibbles) | (second & ~kLowNibbles);
  return (SpreadBytes(even & 0xFFFFFFFFu) | (SpreadBytes(odd & 0xFFFFFFFFu) << 8)) ^ kSignBits;
}

/// Takes sixteen scaled codes, each less its zero point, from `sum`: one subtraction for each group
/// of 2 * depth columns, as XNNPACK has it. The rounding is part of the result.
template <size_t kDepth>
float SubtractCodes(float sum, uint64_t columns, float scale) {
  // At most 30 in a byte, 240 in all: the product's top byte holds the sum.
  const uint64_t pairs = (columns & kLowNibbles) + ((columns >> 4) & kLowNibbles);
  constexpr auto kZeros = static_cast<int>(2 * kDepth) * kZeroPoint;
  if constexpr (kDepth == 8) {
    const auto codes = static_cast<int>((pairs * 0x0101010101010101u) >> 56);
    return sum - static_cast<float>(codes - kZeros) * scale;
  } else if constexpr (kDepth == 1) {
    for (size_t i = 0; i < sizeof(pairs); ++i)
      sum -= static_cast<float>(static_cast<int>((pairs >> (8 * i)) & 0xFF) - kZeros) * scale;
    return sum;
  } else {
    const auto first = static_cast<int>((static_cast<uint32_t>(pairs) * 0x01010101u) >> 24);
    const auto second = static_cast<int>((static_cast<uint32_t>(pairs >> 32) * 0x01010101u) >> 24);
    sum -= static_cast<float>(first - kZeros) * scale;
    return sum - static_cast<float>(second - kZeros) * scale;
  }
}

/// Writes a row's part of a block's groups, and gives `sum` less its scaled codes.
template <size_t kDepth>
float PackRowBlock(size_t tile, size_t block_size, const uint8_t* in, float scale, uint8_t* out,
                   float sum) {
#if defined(__aarch64__)
  if constexpr (kDepth > 1) {
    if (block_size % (2 * kPart) == 0)
      return PackRowVectors<kDepth>(tile, block_size, in, scale, out, sum);
  }
#endif
  for (size_t column = 0; column < block_size; column += kPart) {
    uint64_t columns = 0;
    std::memcpy(&columns, in, sizeof(columns));
    in += sizeof(columns);
    const uint64_t reordered = Reorder<kDepth>(columns);
    if constexpr (kDepth == 8) {
      std::memcpy(out, &reordered, sizeof(reordered));
    } else if constexpr (kDepth == 1) {
      for (size_t i = 0; i < sizeof(reordered); ++i)
        out[i * tile] = static_cast<uint8_t>(reordered >> (8 * i));
    } else {
      const auto low = static_cast<uint32_t>(reordered);
      const auto high = static_cast<uint32_t>(reordered >> 32);
      std::memcpy(out, &low, sizeof(low));
      std::memcpy(out + tile * kDepth, &high, sizeof(high));
    }
    out += tile * kPart / 2;
    sum = SubtractCodes<kDepth>(sum, columns, scale);
  }
  return sum;
}

/// The groups, scales and sums of `count` rows from `begin` on.
template <size_t kDepth>
void PackTileRows(size_t tile, const BlockRows& rows, size_t begin, size_t count, uint8_t* packed) {
  const size_t blocks = rows.width / rows.block_size;
  const size_t block_bytes = tile * (rows.block_size / 2 + sizeof(uint16_t));
  const uint8_t* in = rows.data + begin * rows.width / 2;
  const uint16_t* scales = rows.scales + begin * blocks;
  uint8_t* const first_block = packed + tile * sizeof(float);
  for (size_t row = 0; row < count; ++row) {
    float sum = 0.0f;
    for (size_t block = 0; block < blocks; ++block, ++scales, in += rows.block_size / 2) {
      uint8_t* const out = first_block + block * block_bytes;
      sum =
          PackRowBlock<kDepth>(tile, rows.block_size, in, Widen(*scales), out + row * kDepth, sum);
      const auto stored = static_cast<uint16_t>(*scales - kSixteenfold);
      std::memcpy(out + block_bytes - (tile - row) * sizeof(uint16_t), &stored, sizeof(stored));
    }
    std::memcpy(packed + row * sizeof(float), &sum, sizeof(sum));
  }
}

void PackTile(const BlockTile& tile, const BlockRows& rows, size_t begin, size_t count,
              uint8_t* packed) {
  switch (tile.depth) {
    case 8:
      return PackTileRows<8>(tile.rows, rows, begin, count, packed);
    case 4:
      return PackTileRows<4>(tile.rows, rows, begin, count, packed);
    default:
#if defined(__aarch64__)
      if (tile.rows == kVector && count == kVector && rows.block_size % (2 * kPart) == 0)
        return PackBytesOfTile(rows, begin, packed);
#endif
      return PackTileRows<1>(tile.rows, rows, begin, count, packed);
  }
}

}  // namespace

size_t BlockRowBytes(size_t width, size_t block_size) {
  const size_t blocks = width / block_size;
  return sizeof(float) + blocks * (block_size / 2 + sizeof(uint16_t)) + sizeof(float);
}

void PackBlocks(const BlockTile& tile, const BlockRows& rows, uint8_t* packed) {
  const size_t tile_bytes = tile.rows * BlockRowBytes(rows.width, rows.block_size);
  for (size_t begin = 0; begin < rows.rows; begin += tile.rows, packed += tile_bytes) {
    const size_t count = std::min(tile.rows, rows.rows - begin);
    if (count < tile.rows) std::memset(packed, 0, tile_bytes);
    PackTile(tile, rows, begin, count, packed);
    uint8_t* const biases = packed + tile_bytes - tile.rows * sizeof(float);
    if (rows.bias == nullptr) {
      std::memset(biases, 0, count * sizeof(float));
    } else {
      std::memcpy(biases, rows.bias + begin, count * sizeof(float));
    }
  }
}

bool CanPackScales(const BlockRows& rows) {
  const size_t count = rows.rows * (rows.width / rows.block_size);
  bool all = true;
  // No early exit, so that it runs in vectors: a sign of 0, an exponent that stays above 0 when
  // four are taken from it and is not all ones.
  for (size_t i = 0; i < count; ++i) {
    const uint16_t exponent = rows.scales[i] & kBFloat16Exponent;
    all &=
        (rows.scales[i] & 0x8000) == 0 && exponent > kSixteenfold && exponent != kBFloat16Exponent;
  }
  return all;
}

}  // namespace graft::runtime
