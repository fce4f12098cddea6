// SPDX-License-Identifier: Apache-2.0
// Open-addressing tables from a token's bytes, and from a pair of tokens, to where they stand in
// the file. They hold indices only; keys are compared in the file's own bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::runtime {

inline constexpr uint32_t kNotFound = UINT32_MAX;

inline uint64_t MixBits(uint64_t value) {
  value *= 0x9E3779B97F4A7C15u;
  value ^= value >> 32;
  value *= 0xD6E8FEB86659FD93u;
  return value ^ (value >> 29);
}

inline uint64_t HashBytes(std::string_view bytes) {
  uint64_t hash = bytes.size();
  const char* data = bytes.data();
  size_t size = bytes.size();
  for (; size >= 8; size -= 8, data += 8) {
    uint64_t word = 0;
    std::memcpy(&word, data, 8);
    hash = MixBits(hash ^ word);
  }
  uint64_t last = 0;
  std::memcpy(&last, data, size);
  return MixBits(hash ^ last ^ (uint64_t{size} << 56));
}

/// Slots of a table: a power of two, at most half full.
size_t SlotsFor(size_t entries);

/// A key that takes more steps than this to place was made to collide.
inline constexpr uint32_t kMaxProbes = 1024;

/// From the bytes of a token to its id. Of tokens of equal bytes the first added counts.
class TokenTable {
 public:
  /// bytes, offsets: the file's token table, which must outlive this.
  TokenTable(const char* bytes, const uint32_t* offsets) : bytes_(bytes), offsets_(offsets) {}

  /// Must be called before Add. `entries` is how many Add calls follow at most.
  void Reserve(size_t entries);
  /// Errors   kCorrupt: the keys collide beyond all chance.
  Status Add(uint32_t id);

  /// The id, or kNotFound.
  uint32_t Find(std::string_view key) const {
    if (slots_.empty()) return kNotFound;
    const uint64_t hash = HashBytes(key);
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot slot = slots_[at];
      if (slot.id == kNotFound) return kNotFound;
      if (slot.tag == static_cast<uint32_t>(hash >> 32) && BytesOf(slot.id) == key) return slot.id;
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t id = kNotFound;
  };

  std::string_view BytesOf(uint32_t id) const {
    return {bytes_ + offsets_[id], offsets_[id + 1] - offsets_[id]};
  }

  const char* bytes_;
  const uint32_t* offsets_;
  std::vector<Slot> slots_;
  size_t mask_ = 0;
};

/// From two tokens to the rank of the merge that joins them.
class MergeTable {
 public:
  /// pairs: two ids for each merge, in the order of rank; must outlive this. Of two merges of one
  /// pair the later counts.
  /// Errors   kCorrupt: the keys collide beyond all chance.
  Status Fill(std::span<const uint32_t> pairs);

  /// The rank, or kNotFound.
  uint32_t Find(uint32_t left, uint32_t right) const {
    if (slots_.empty()) return kNotFound;
    const uint64_t hash = MixBits(uint64_t{left} << 32 | right);
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      const Slot slot = slots_[at];
      if (slot.rank == kNotFound) return kNotFound;
      if (slot.tag == static_cast<uint32_t>(hash >> 32) && pairs_[2 * size_t{slot.rank}] == left &&
          pairs_[2 * size_t{slot.rank} + 1] == right) {
        return slot.rank;
      }
    }
  }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t rank = kNotFound;
  };

  std::span<const uint32_t> pairs_;
  std::vector<Slot> slots_;
  size_t mask_ = 0;
};

}  // namespace graft::runtime
