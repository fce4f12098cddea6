// SPDX-License-Identifier: Apache-2.0
// Writes what schema::PrefixCodes and schema::HuffmanDecoder read.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/packs/prefix_codes.h"

namespace graft::converter {

/// How often each byte occurs.
using ByteCounts = std::array<uint64_t, 256>;

struct PrefixCode {
  uint32_t bits = 0;  // the first one is the lowest
  uint32_t length = 0;
};

/// Bits in the order in which schema::BitStream has them.
class BitWriter {
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

/// Of bytes that occur, a Huffman code of at most schema::kMostCodeBits bits each.
/// Requires one that occurs.
std::array<PrefixCode, 256> MakePrefixCodes(const ByteCounts& counts);

/// Appends the codes of bytes that occur.
void PutPrefixCodes(const ByteCounts& counts, const std::array<PrefixCode, 256>& codes,
                    std::vector<uint8_t>* coded);
/// Appends the sizes of streams, and the streams.
void PutStreams(const std::array<BitWriter, schema::kCodeStreams>& streams,
                std::vector<uint8_t>* coded);

/// Appends `symbols` in Huffman codes, the mode's byte first. Requires at least one.
void EncodeHuffman(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded);

}  // namespace graft::converter
