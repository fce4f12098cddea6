// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/match_headers.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "schema/packs/pack.h"

namespace graft::converter {
namespace {

// FlatBuffers align everything to four bytes, so that what moved was at such a place before.
constexpr size_t kStep = 4;
// So many equal bytes say that a place is the right one; to leave a place takes more.
constexpr size_t kSame = 16;
constexpr size_t kElsewhere = 32;
constexpr uint32_t kNone = UINT32_MAX;

uint64_t Load(const uint8_t* bytes) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

class Matcher {
 public:
  Matcher(std::span<const uint8_t> bytes, std::span<const uint8_t> base)
      : bytes_(bytes), base_(base) {
    bits_ = std::max(10, static_cast<int>(std::bit_width(base.size() / kStep)));
    places_.assign(size_t{1} << bits_, kNone);
    // The first of equal ones stays: it is the one nearest to the start of a run.
    for (size_t i = 0; i + kElsewhere <= base.size(); i += kStep) {
      uint32_t& place = places_[Hash(base.data() + i)];
      if (place == kNone) place = static_cast<uint32_t>(i);
    }
  }

  std::vector<PackRange> Run() {
    size_t at = 0;
    size_t base_at = 0;
    bool is_aligned = !base_.empty();
    while (at < bytes_.size()) {
      const size_t same = is_aligned ? Same(at, base_at) : 0;
      at += same;
      base_at += same;
      // Here they differ: either they agree again a little later, or what follows is elsewhere.
      size_t next = at;
      size_t elsewhere = kNone;
      while (next < bytes_.size()) {
        const size_t then = base_at + (next - at);
        if (is_aligned && next > at && IsSame(next, then, kSame)) break;
        elsewhere = Find(next);
        if (elsewhere != kNone) break;
        ++next;
      }
      const bool stays = next == bytes_.size() || elsewhere == kNone;
      Add(at - same, same, is_aligned ? base_at - same : schema::kZeros);
      AddDifferent(at, next - at, is_aligned ? base_at : schema::kZeros);
      base_at = stays ? base_at + (next - at) : elsewhere;
      is_aligned = !stays || (is_aligned && base_at < base_.size());
      at = next;
    }
    return std::move(ranges_);
  }

 private:
  size_t Hash(const uint8_t* bytes) const {
    const uint64_t mixed =
        (Load(bytes) * 0x9E3779B97F4A7C15) ^ (Load(bytes + 8) * 0xC2B2AE3D27D4EB4F);
    return static_cast<size_t>((mixed * 0x9E3779B97F4A7C15) >> (64 - bits_));
  }

  size_t Same(size_t at, size_t base_at) const {
    const auto end = std::mismatch(bytes_.begin() + static_cast<ptrdiff_t>(at), bytes_.end(),
                                   base_.begin() + static_cast<ptrdiff_t>(base_at), base_.end());
    return static_cast<size_t>(end.first - bytes_.begin()) - at;
  }

  bool IsSame(size_t at, size_t base_at, size_t size) const {
    return bytes_.size() - at >= size && base_at <= base_.size() &&
           base_.size() - base_at >= size &&
           std::memcmp(bytes_.data() + at, base_.data() + base_at, size) == 0;
  }

  size_t Find(size_t at) const {
    if (bytes_.size() - at < kElsewhere) return kNone;
    const uint8_t* here = bytes_.data() + at;
    if (Load(here) == 0 && Load(here + 8) == 0) return kNone;  // zeros are everywhere
    const uint32_t place = places_[Hash(here)];
    return place != kNone && IsSame(at, place, kElsewhere) ? place : kNone;
  }

  // What differs is told by its differences if more than half of it does not.
  void AddDifferent(size_t at, size_t size, uint64_t base_at) {
    if (base_at == schema::kZeros || base_at >= base_.size()) {
      return Add(at, size, schema::kZeros);
    }
    const size_t both = std::min<size_t>(size, base_.size() - static_cast<size_t>(base_at));
    size_t equal = 0;
    for (size_t i = 0; i < both; ++i) {
      equal += bytes_[at + i] == base_[static_cast<size_t>(base_at) + i] ? 1 : 0;
    }
    const bool is_like = 2 * equal >= both || both <= kElsewhere;
    Add(at, both, is_like ? base_at : schema::kZeros);
    Add(at + both, size - both, schema::kZeros);
  }

  void Add(uint64_t at, uint64_t size, uint64_t base_at) {
    if (size == 0) return;
    if (!ranges_.empty()) {
      PackRange& last = ranges_.back();
      const bool continues = last.base_offset == schema::kZeros
                                 ? base_at == schema::kZeros
                                 : last.base_offset + last.bytes == base_at;
      if (continues) {
        last.bytes += size;
        return;
      }
    }
    ranges_.push_back({at, size, base_at});
  }

  std::span<const uint8_t> bytes_;
  std::span<const uint8_t> base_;
  int bits_ = 0;
  std::vector<uint32_t> places_;
  std::vector<PackRange> ranges_;
};

}  // namespace

std::vector<PackRange> MatchBytes(std::span<const uint8_t> bytes, std::span<const uint8_t> base) {
  return Matcher(bytes, base).Run();
}

}  // namespace graft::converter
