// SPDX-License-Identifier: Apache-2.0
// Reads bytes in Huffman codes, several at a look. PACK_FORMAT.md, "Huffman codes", gives the format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "schema/packs/prefix_codes.h"
#include "schema/status.h"

namespace graft::schema {

/// The tables of one run of coded bytes; it stays allocated from run to run.
class HuffmanDecoder {
 public:
  /// Fills `out` with exactly the bytes that `coded` stands for, the mode's byte left out.
  /// Errors   kCorrupt: it stands for something else. `out` is then unspecified.
  /// Cost     linear in both sizes; allocates nothing.
  Status Decode(std::span<const uint8_t> coded, std::span<uint8_t> out);

 private:
  /// Of a decoder: so many bits are looked up at once.
  static constexpr uint32_t kLookedUp = 11;

  void MakeRuns();
  void DecodeTogether(BitStreams* streams,
                      std::array<std::span<uint8_t>, kCodeStreams>* rest) const;
  void DecodeAlone(BitStream* stream, std::span<uint8_t> rest) const;

  PrefixCodes codes_;
  // What whole codes the bits are: in the lowest byte how many bits they have, then how many codes
  // there are, then the bytes that they stand for.
  std::array<uint64_t, size_t{1} << kLookedUp> run_of_bits_;
};

}  // namespace graft::schema
