// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/sparse_encoder.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/prefix_encoder.h"
#include "schema/packs/sparse_bytes.h"

namespace graft::converter {
namespace {

using schema::kCodeStreams;
using schema::kLongGap;
using schema::kMostGapBits;

struct Entry {
  uint32_t gap = 0;
  uint8_t value = 0;
};

uint64_t BitsOfGaps(std::span<const Entry> entries, uint32_t gap_bits) {
  uint64_t bits = 0;
  for (const Entry& entry : entries) {
    const uint64_t upper = entry.gap >> gap_bits;
    bits += upper / kLongGap * (kLongGap + 1) + upper % kLongGap + 1 + gap_bits;
  }
  return bits;
}

uint32_t BestGapBits(std::span<const Entry> entries) {
  uint32_t best = 0;
  uint64_t least = std::numeric_limits<uint64_t>::max();
  for (uint32_t gap_bits = 0; gap_bits <= kMostGapBits; ++gap_bits) {
    const uint64_t bits = BitsOfGaps(entries, gap_bits);
    if (bits >= least) continue;
    least = bits;
    best = gap_bits;
  }
  return best;
}

}  // namespace

void EncodeSparse(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded) {
  std::vector<Entry> entries;
  ByteCounts counts{};
  uint32_t gap = 0;
  for (const uint8_t symbol : symbols) {
    if (symbol == 0) {
      ++gap;
      continue;
    }
    entries.push_back({gap, symbol});
    ++counts[symbol];
    gap = 0;
  }
  const std::array<PrefixCode, 256> codes = MakePrefixCodes(counts);
  const uint32_t gap_bits = BestGapBits(entries);
  std::array<BitWriter, kCodeStreams> streams;
  uint64_t turn = 0;
  for (Entry entry : entries) {
    for (; entry.gap >> gap_bits >= kLongGap; entry.gap -= kLongGap << gap_bits)
      streams[turn++ % kCodeStreams].Put(uint64_t{1} << kLongGap, kLongGap + 1);
    BitWriter& stream = streams[turn++ % kCodeStreams];
    const uint32_t upper = entry.gap >> gap_bits;
    stream.Put(uint64_t{1} << upper, upper + 1);
    stream.Put(entry.gap, gap_bits);
    stream.Put(codes[entry.value].bits, codes[entry.value].length);
  }
  coded->push_back(static_cast<uint8_t>(schema::CodedMode::kSparse));
  PutNumber(turn, coded);
  coded->push_back(static_cast<uint8_t>(gap_bits));
  PutPrefixCodes(counts, codes, coded);
  PutStreams(streams, coded);
}

}  // namespace graft::converter
