// SPDX-License-Identifier: Apache-2.0
#include "runtime/xnn/row_patcher.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/kernels/products/block_sums.h"

namespace graft::runtime {
namespace {

constexpr size_t kLineBytes = 64;
constexpr uint32_t kLowNibbles = 0x0F0F;
constexpr uint32_t kUpperBits = 0x8888;  // of nibbles
// Stored scales between these are a sixteenth of those that PackBlocks packs.
constexpr uint32_t kLeastScale = 0x80;
constexpr uint32_t kBeyondScales = 0x7D80;

/// What a stored byte of two differences adds to two bytes, in the lower half of each.
struct SpreadNibbles {
  explicit SpreadNibbles(bool is_taken_back) {
    const uint32_t mask = is_taken_back ? kLowNibbles : 0;
    for (uint32_t value = 0; value < of.size(); ++value) {
      const uint32_t nibbles = (value & 0x0F) | (value >> 4) << 8;
      of[value] = static_cast<uint16_t>(((nibbles ^ mask) + (mask & 0x0101)) & kLowNibbles);
    }
  }
  std::array<uint16_t, 256> of;
};

uint32_t AddNibbles(uint32_t a, uint32_t b) {
  return ((a & ~kUpperBits) + (b & ~kUpperBits)) ^ ((a ^ b) & kUpperBits);
}

// Of codes whose upper bits are flipped.
int32_t SumOfBoth(uint32_t byte) {
  return static_cast<int32_t>(((byte ^ kUpperBits) & 0x0F) + ((byte ^ kUpperBits) >> 4 & 0x0F));
}
int32_t SumOfHalves(uint32_t bytes) {
  return static_cast<int32_t>(((bytes ^ kUpperBits) & 0x0F) + ((bytes ^ kUpperBits) >> 8 & 0x0F));
}

}  // namespace

RowPatcher::RowPatcher(const LinearWeights& weights, const CodeTile& tile, size_t rows,
                       uint8_t* packed, std::vector<uint32_t>* room)
    : weights_(weights),
      tile_(tile),
      rows_(rows),
      packed_(packed),
      has_blocks_(weights.format == WeightFormat::kInt4Block),
      stored_row_bytes_(weights.format == WeightFormat::kInt8Channel ? weights.in_features
                                                                     : weights.in_features / 2),
      tile_bytes_(tile.rows * static_cast<size_t>(weights.row_bytes)),
      group_offsets_(*room) {
  const size_t groups = stored_row_bytes_ / tile.depth;
  const size_t groups_of_block = has_blocks_ ? weights.block_size / (2 * tile.depth) : groups;
  group_offsets_.resize(groups);
  for (size_t group = 0; group < groups; ++group) {
    // After sums, and the scales of the blocks before.
    const size_t scales = group / groups_of_block * tile.rows * sizeof(uint16_t);
    group_offsets_[group] =
        static_cast<uint32_t>(tile.rows * sizeof(float) + scales + group * tile.rows * tile.depth);
  }
}

// Rows are changed in order, and a tile's bytes come from memory while the one before is at work;
// behind the last one, those of the slice that is likely to be next. GCC 12 would leave out calls of
// a function that does no more than that.
inline __attribute__((always_inline)) void RowPatcher::FetchPartOfNextTile(size_t row) const {
  const auto row_bytes = static_cast<size_t>(weights_.row_bytes);
  const auto part =
      reinterpret_cast<uintptr_t>(TileOf(row)) + tile_bytes_ + row % tile_.rows * row_bytes;
  for (size_t at = 0; at < row_bytes; at += kLineBytes)
    __builtin_prefetch(reinterpret_cast<const void*>(part + at));  // NOLINT: it need not exist
}

// Calls change_row(row, place of its first unit, index of its first change), which gives that of
// the first one behind the row.
template <typename ChangeRow>
void RowPatcher::VisitRows(const UnitChanges& changes, size_t row_units,
                           const ChangeRow& change_row) const {
  for (size_t i = 0; i < changes.bytes.size();) {
    const auto at = static_cast<uint64_t>(changes.bytes[i].place() - changes.first_place);
    const auto row = static_cast<size_t>(at / row_units);
    // Modulo 2^32, which does no harm to differences.
    i = change_row(row, static_cast<uint32_t>(changes.first_place + row * row_units), i);
  }
}

void RowPatcher::AddToSum(size_t row, int32_t difference) const {
  uint8_t* const at = TileOf(row) + row % tile_.rows * sizeof(uint32_t);
  uint32_t sum = 0;
  std::memcpy(&sum, at, sizeof(sum));
  sum += static_cast<uint32_t>(difference) * static_cast<uint32_t>(tile_.sum_factor);
  std::memcpy(at, &sum, sizeof(sum));
}

void RowPatcher::ChangeInt8(const UnitChanges& changes) {
  const size_t depth = tile_.depth;
  const uint32_t mask = changes.is_taken_back ? 0xFF : 0;
  VisitRows(changes, stored_row_bytes_, [&](size_t row, uint32_t row_place, size_t i) {
    FetchPartOfNextTile(row);
    uint8_t* const codes = TileOf(row) + row % tile_.rows * depth;
    int32_t difference = 0;
    for (; i < changes.bytes.size(); ++i) {
      const uint32_t at = changes.bytes[i].place() - row_place;
      if (at >= stored_row_bytes_) break;
      uint8_t* const code = codes + group_offsets_[at / depth] + at % depth;
      const auto before = static_cast<int8_t>(*code);
      *code =
          static_cast<uint8_t>(*code + (uint32_t{changes.bytes[i].value()} ^ mask) + (mask & 1));
      difference += static_cast<int8_t>(*code) - before;
    }
    AddToSum(row, difference);
    return i;
  });
}

template <size_t kDepth, bool kHasSums>
void RowPatcher::ChangeInt4(const UnitChanges& changes) {
  // Codes are bytes, which might be anything else: what does not change is kept at hand.
  const std::span<const schema::SparseByte> bytes = changes.bytes;
  const uint32_t* const group_offsets = group_offsets_.data();
  const size_t row_bytes = stored_row_bytes_;
  const SpreadNibbles spread(changes.is_taken_back);
  VisitRows(changes, row_bytes,
            [&, bytes, group_offsets, row_bytes](size_t row, uint32_t row_place, size_t i) {
              FetchPartOfNextTile(row);
              uint8_t* const codes = TileOf(row) + row % tile_.rows * kDepth;
              int32_t difference = 0;
              for (; i < bytes.size(); ++i) {
                const uint32_t at = bytes[i].place() - row_place;
                if (at >= row_bytes) break;
                const uint32_t added = spread.of[bytes[i].value()];
                uint8_t* group = codes + group_offsets[at / kDepth];
                if constexpr (kDepth == 1) {
                  const uint32_t before = *group;
                  const uint32_t after =
                      AddNibbles(before, (added & 0x0F) | (added >> 4 & 0xF0)) & 0xFF;
                  *group = static_cast<uint8_t>(after);
                  if (kHasSums) difference += SumOfBoth(after) - SumOfBoth(before);
                } else {
                  // A stored byte's two codes go into the same half of two bytes.
                  const uint32_t half = at % kDepth / (kDepth / 2) * 4;
                  group += 2 * (at % (kDepth / 2));
                  uint16_t before = 0;
                  std::memcpy(&before, group, sizeof(before));
                  const auto after = static_cast<uint16_t>(AddNibbles(before, added << half));
                  std::memcpy(group, &after, sizeof(after));
                  if (kHasSums)
                    difference += SumOfHalves(after >> half) - SumOfHalves(before >> half);
                }
              }
              if (kHasSums) AddToSum(row, difference);
              return i;
            });
}

void RowPatcher::ChangeCodes(const UnitChanges& changes) {
  if (weights_.format == WeightFormat::kInt8Channel) return ChangeInt8(changes);
  switch (tile_.depth) {
    case 8:
      return has_blocks_ ? ChangeInt4<8, false>(changes) : ChangeInt4<8, true>(changes);
    case 4:
      return has_blocks_ ? ChangeInt4<4, false>(changes) : ChangeInt4<4, true>(changes);
    default:
      return has_blocks_ ? ChangeInt4<1, false>(changes) : ChangeInt4<1, true>(changes);
  }
}

bool RowPatcher::ChangeScales(const UnitChanges& changes) {
  const size_t blocks = weights_.in_features / weights_.block_size;
  const size_t block_bytes = tile_.rows * (weights_.block_size / 2 + sizeof(uint16_t));
  bool is_packed_so = true;
  VisitRows(changes, blocks, [&](size_t row, uint32_t row_place, size_t i) {
    uint8_t* const scales = TileOf(row) + tile_.rows * (sizeof(float) + weights_.block_size / 2) +
                            row % tile_.rows * sizeof(uint16_t);
    for (; i < changes.bytes.size(); ++i) {
      const uint32_t at = changes.bytes[i].place() - row_place;
      if (at >= blocks) break;
      uint16_t scale = 0;
      std::memcpy(&scale, scales + at * block_bytes, sizeof(scale));
      is_packed_so &= scale - kLeastScale < kBeyondScales - kLeastScale;
      const uint32_t value = uint32_t{changes.bytes[i].value()} << (8 * changes.plane);
      scale = static_cast<uint16_t>(changes.is_taken_back ? scale - value : scale + value);
      std::memcpy(scales + at * block_bytes, &scale, sizeof(scale));
    }
    return i;
  });
  return is_packed_so;
}

bool RowPatcher::Finish(const float* bias, const void* scales) {
  for (size_t begin = 0; begin < rows_; begin += tile_.rows) {
    uint8_t* const packed = TileOf(begin);
    const size_t count = std::min(tile_.rows, rows_ - begin);
    if (has_blocks_ && !SumBlocks({{tile_.rows, tile_.depth},
                                   weights_.in_features / weights_.block_size,
                                   weights_.block_size,
                                   packed},
                                  count)) {
      return false;
    }
    uint8_t* const biases = packed + tile_bytes_ - tile_.rows * sizeof(float);
    if (bias != nullptr) {
      std::memcpy(biases, bias + begin, count * sizeof(float));
    } else {
      std::memset(biases, 0, count * sizeof(float));
    }
    if (has_blocks_) continue;
    std::memcpy(biases - tile_.rows * sizeof(float), static_cast<const float*>(scales) + begin,
                count * sizeof(float));
  }
  return true;
}

}  // namespace graft::runtime
