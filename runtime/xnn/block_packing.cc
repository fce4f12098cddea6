// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/block_packing.h"

#include <algorithm>
#include <cstring>

namespace graft::runtime {
namespace {

constexpr size_t kDepth = 8;
constexpr size_t kGroup = 2 * kDepth;  // columns, and twice the bytes, of one row's part of a group
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

/// Eight bytes that hold sixteen columns in order, as the kernels read them: column j beside j + 8.
uint64_t Reorder(uint64_t columns) {
  const uint64_t first = columns & 0xFFFFFFFFu;  // columns 0 to 7
  const uint64_t second = columns >> 32;         // columns 8 to 15
  const uint64_t even = (first & kLowNibbles) | ((second & kLowNibbles) << 4);
  const uint64_t odd = ((first >> 4) & kLowNibbles) | (second & ~kLowNibbles);
  return (SpreadBytes(even & 0xFFFFFFFFu) | (SpreadBytes(odd & 0xFFFFFFFFu) << 8)) ^ kSignBits;
}

/// Sum of sixteen codes, the zero point taken from each.
int SumOf(uint64_t columns) {
  // At most 30 in a byte, 240 in all: the product's top byte holds the sum.
  const uint64_t pairs = (columns & kLowNibbles) + ((columns >> 4) & kLowNibbles);
  return static_cast<int>((pairs * 0x0101010101010101u) >> 56) -
         static_cast<int>(kGroup) * kZeroPoint;
}

}  // namespace

size_t BlockRowBytes(size_t width, size_t block_size) {
  const size_t blocks = width / block_size;
  return sizeof(float) + blocks * (block_size / 2 + sizeof(uint16_t)) + sizeof(float);
}

void PackBlocks(const BlockLayout& layout, const BlockRows& rows, uint8_t* packed) {
  const size_t tile = layout.tile;
  const size_t blocks = rows.width / rows.block_size;
  const size_t row_bytes = rows.width / 2;
  const size_t groups = rows.block_size / kGroup;
  const size_t block_bytes = tile * (rows.block_size / 2 + sizeof(uint16_t));
  const size_t tile_bytes = tile * BlockRowBytes(rows.width, rows.block_size);
  for (size_t begin = 0; begin < rows.rows; begin += tile, packed += tile_bytes) {
    const size_t count = std::min(tile, rows.rows - begin);
    if (count < tile) std::memset(packed, 0, tile_bytes);
    float sums[kMaxTile] = {};
    uint8_t* const first_block = packed + tile * sizeof(float);
    for (size_t row = 0; row < count; ++row) {
      const uint8_t* in = rows.data + (begin + row) * row_bytes;
      const uint16_t* scales = rows.scales + (begin + row) * blocks;
      float sum = 0.0f;
      for (size_t block = 0; block < blocks; ++block) {
        uint8_t* out = first_block + block * block_bytes + row * kDepth;
        const float scale = Widen(scales[block]);
        // One subtraction for each group, as XNNPACK has it: the rounding is part of the result.
        for (size_t group = 0; group < groups; ++group) {
          uint64_t columns = 0;
          std::memcpy(&columns, in, sizeof(columns));
          in += sizeof(columns);
          const uint64_t reordered = Reorder(columns);
          std::memcpy(out, &reordered, sizeof(reordered));
          out += tile * kDepth;
          sum -= static_cast<float>(SumOf(columns)) * scale;
        }
        const auto stored = static_cast<uint16_t>(scales[block] - kSixteenfold);
        std::memcpy(first_block + (block + 1) * block_bytes - (tile - row) * sizeof(uint16_t),
                    &stored, sizeof(stored));
      }
      sums[row] = sum;
    }
    std::memcpy(packed, sums, count * sizeof(float));
    uint8_t* const biases = packed + tile_bytes - tile * sizeof(float);
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
