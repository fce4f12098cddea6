// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/sparse_encoder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <limits>
#include <queue>
#include <utility>

#include "converter/packs/entropy_encoder.h"
#include "schema/packs/sparse_bytes.h"

namespace graft::converter {
namespace {

using schema::kLongGap;
using schema::kMostCodeBits;
using schema::kMostGapBits;
using schema::kSparseStreams;

using Counts = std::array<uint64_t, 256>;

struct Entry {
  uint32_t gap = 0;
  uint8_t value = 0;
};

struct Code {
  uint32_t bits = 0;  // the first one is the lowest
  uint32_t length = 0;
};

// The lengths that Huffman's algorithm gives.
std::array<uint32_t, 256> HuffmanLengths(const Counts& counts) {
  using Node = std::pair<uint64_t, size_t>;  // a weight, and the place in `parents`
  std::priority_queue<Node, std::vector<Node>, std::greater<>> rest;
  std::vector<size_t> parents(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0) rest.emplace(counts[i], i);
  }
  while (rest.size() > 1) {
    const Node first = rest.top();
    rest.pop();
    const Node second = rest.top();
    rest.pop();
    parents[first.second] = parents[second.second] = parents.size();
    rest.emplace(first.first + second.first, parents.size());
    parents.push_back(0);
  }
  std::array<uint32_t, 256> lengths{};
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (size_t at = i; parents[at] != 0; at = parents[at]) ++lengths[i];
  }
  return lengths;
}

// The same with none that is too long: the rarer half of a skewed distribution is made less rare.
std::array<uint32_t, 256> ShortLengths(Counts counts) {
  for (;;) {
    const std::array<uint32_t, 256> lengths = HuffmanLengths(counts);
    if (*std::max_element(lengths.begin(), lengths.end()) <= kMostCodeBits) return lengths;
    for (uint64_t& count : counts) count = (count + 1) / 2;
  }
}

std::array<Code, 256> MakeCodes(const Counts& counts) {
  const std::array<uint32_t, 256> lengths = ShortLengths(counts);
  std::array<Code, 256> codes{};
  uint32_t next = 0;
  for (uint32_t length = 0; length <= kMostCodeBits; ++length) {
    for (size_t i = 0; i < codes.size(); ++i) {
      if (counts[i] == 0 || lengths[i] != length) continue;
      codes[i].length = length;
      for (uint32_t bit = 0; bit < length; ++bit)
        codes[i].bits |= (next >> (kMostCodeBits - 1 - bit) & 1) << bit;
      next += 1u << (kMostCodeBits - length);
    }
  }
  return codes;
}

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

class BitStream {
 public:
  void Put(uint64_t bits, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i, ++size_) {
      if (size_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<uint8_t>(bytes_.back() | (bits >> i & 1) << size_ % 8);
    }
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
  uint64_t size_ = 0;
};

}  // namespace

void EncodeSparse(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded) {
  std::vector<Entry> entries;
  Counts counts{};
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
  const std::array<Code, 256> codes = MakeCodes(counts);
  const uint32_t gap_bits = BestGapBits(entries);
  std::array<BitStream, kSparseStreams> streams;
  uint64_t turn = 0;
  for (Entry entry : entries) {
    for (; entry.gap >> gap_bits >= kLongGap; entry.gap -= kLongGap << gap_bits)
      streams[turn++ % kSparseStreams].Put(uint64_t{1} << kLongGap, kLongGap + 1);
    BitStream& stream = streams[turn++ % kSparseStreams];
    const uint32_t upper = entry.gap >> gap_bits;
    stream.Put(uint64_t{1} << upper, upper + 1);
    stream.Put(entry.gap, gap_bits);
    stream.Put(codes[entry.value].bits, codes[entry.value].length);
  }
  coded->push_back(static_cast<uint8_t>(schema::CodedMode::kSparse));
  PutNumber(turn, coded);
  coded->push_back(static_cast<uint8_t>(gap_bits));
  const auto different = std::count_if(counts.begin(), counts.end(), [](uint64_t n) { return n; });
  coded->push_back(static_cast<uint8_t>(different - 1));
  for (size_t i = 0; i < codes.size(); ++i) {
    if (counts[i] == 0) continue;
    coded->push_back(static_cast<uint8_t>(i));
    coded->push_back(static_cast<uint8_t>(codes[i].length));
  }
  for (size_t i = 0; i + 1 < streams.size(); ++i) PutNumber(streams[i].bytes().size(), coded);
  for (const BitStream& stream : streams)
    coded->insert(coded->end(), stream.bytes().begin(), stream.bytes().end());
}

}  // namespace graft::converter
