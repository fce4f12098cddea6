// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/hash_tables.h"

namespace graft::runtime {

size_t SlotsFor(size_t entries) {
  size_t slots = 16;
  while (slots < entries * 2) slots *= 2;
  return slots;
}

void TokenTable::Reserve(size_t entries) {
  slots_.assign(SlotsFor(entries), Slot());
  mask_ = slots_.size() - 1;
}

Status TokenTable::Add(uint32_t id) {
  const std::string_view key = BytesOf(id);
  const uint64_t hash = HashBytes(key);
  size_t at = hash & mask_;
  for (uint32_t probes = 0; slots_[at].id != kNotFound; at = (at + 1) & mask_) {
    if (slots_[at].tag == static_cast<uint32_t>(hash >> 32) && BytesOf(slots_[at].id) == key) {
      return OkStatus();
    }
    if (++probes > kMaxProbes) {
      return Error(StatusCode::kCorrupt, "token %u is one of too many that collide", id);
    }
  }
  slots_[at] = {static_cast<uint32_t>(hash >> 32), id};
  return OkStatus();
}

Status MergeTable::Fill(std::span<const uint32_t> pairs) {
  pairs_ = pairs;
  slots_.assign(SlotsFor(pairs.size() / 2), Slot());
  mask_ = slots_.size() - 1;
  for (uint32_t rank = 0; rank < pairs.size() / 2; ++rank) {
    const uint32_t left = pairs[2 * size_t{rank}];
    const uint32_t right = pairs[2 * size_t{rank} + 1];
    const uint64_t hash = MixBits(uint64_t{left} << 32 | right);
    size_t at = hash & mask_;
    for (uint32_t probes = 0; slots_[at].rank != kNotFound; at = (at + 1) & mask_) {
      const size_t other = slots_[at].rank;
      if (pairs[2 * other] == left && pairs[2 * other + 1] == right) break;
      if (++probes > kMaxProbes) {
        return Error(StatusCode::kCorrupt, "merge %u is one of too many that collide", rank);
      }
    }
    slots_[at] = {static_cast<uint32_t>(hash >> 32), rank};
  }
  return OkStatus();
}

}  // namespace graft::runtime
