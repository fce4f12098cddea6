// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/prefix_encoder.h"

#include <algorithm>
#include <cstddef>
#include <queue>
#include <utility>

#include "converter/packs/entropy_encoder.h"
#include "schema/packs/entropy_decoder.h"

namespace graft::converter {
namespace {

using schema::kCodeStreams;
using schema::kMostCodeBits;

// The lengths that Huffman's algorithm gives.
std::array<uint32_t, 256> HuffmanLengths(const ByteCounts& counts) {
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
std::array<uint32_t, 256> ShortLengths(ByteCounts counts) {
  for (;;) {
    const std::array<uint32_t, 256> lengths = HuffmanLengths(counts);
    if (*std::max_element(lengths.begin(), lengths.end()) <= kMostCodeBits) return lengths;
    for (uint64_t& count : counts) count = (count + 1) / 2;
  }
}

}  // namespace

std::array<PrefixCode, 256> MakePrefixCodes(const ByteCounts& counts) {
  const std::array<uint32_t, 256> lengths = ShortLengths(counts);
  std::array<PrefixCode, 256> codes{};
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

void PutPrefixCodes(const ByteCounts& counts, const std::array<PrefixCode, 256>& codes,
                    std::vector<uint8_t>* coded) {
  const auto different = std::count_if(counts.begin(), counts.end(), [](uint64_t n) { return n; });
  coded->push_back(static_cast<uint8_t>(different - 1));
  for (size_t i = 0; i < codes.size(); ++i) {
    if (counts[i] == 0) continue;
    coded->push_back(static_cast<uint8_t>(i));
    coded->push_back(static_cast<uint8_t>(codes[i].length));
  }
}

void PutStreams(const std::array<BitWriter, kCodeStreams>& streams, std::vector<uint8_t>* coded) {
  for (size_t i = 0; i + 1 < streams.size(); ++i) PutNumber(streams[i].bytes().size(), coded);
  for (const BitWriter& stream : streams)
    coded->insert(coded->end(), stream.bytes().begin(), stream.bytes().end());
}

void EncodeHuffman(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded) {
  ByteCounts counts{};
  for (const uint8_t symbol : symbols) ++counts[symbol];
  const std::array<PrefixCode, 256> codes = MakePrefixCodes(counts);
  const size_t part = (symbols.size() + kCodeStreams - 1) / kCodeStreams;
  std::array<BitWriter, kCodeStreams> streams;
  for (size_t i = 0; i < symbols.size(); ++i)
    streams[i / part].Put(codes[symbols[i]].bits, codes[symbols[i]].length);
  coded->push_back(static_cast<uint8_t>(schema::CodedMode::kHuffman));
  PutPrefixCodes(counts, codes, coded);
  PutStreams(streams, coded);
}

}  // namespace graft::converter
