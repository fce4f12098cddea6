// SPDX-License-Identifier: Apache-2.0
// Reads runs of bytes of which most are zero: where the others lie, and what they are.
// PACK_FORMAT.md, "Sparse bytes", gives the format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/packs/entropy_decoder.h"
#include "schema/packs/prefix_codes.h"
#include "schema/result.h"

namespace graft::schema {

/// What coder and decoder agree on: an upper part of a gap that is this long is followed by no byte; a
/// gap's lower part has at most so many bits.
inline constexpr uint32_t kLongGap = 31;
inline constexpr uint32_t kMostGapBits = 12;
/// Of a decoder: entries of at most so many bits are looked up as a whole.
inline constexpr uint32_t kMostEntryBits = 12;
inline constexpr size_t kMostSparseBytes = size_t{1} << 24;

/// One byte of a run that is not zero.
struct SparseByte {
  uint32_t bits = 0;

  uint32_t place() const { return bits >> 8; }
  uint8_t value() const { return static_cast<uint8_t>(bits); }
};

/// Whether `coded` begins as sparse bytes do.
inline bool IsSparse(std::span<const uint8_t> coded) {
  return !coded.empty() && coded.front() == static_cast<uint8_t>(CodedMode::kSparse);
}

/// How many entries sparse bytes say that they have: no fewer than there are bytes that are not zero.
/// Requires IsSparse(coded).
uint64_t SparseEntriesOf(std::span<const uint8_t> coded);

/// What decoding takes; it stays allocated from run to run.
class SparseDecoder {
 public:
  /// The bytes of a run of `count` that `coded` stands for, in order. They stay until the next call.
  /// Requires IsSparse(coded), and at most kMostSparseBytes.
  /// Errors   kCorrupt: it stands for something else.
  /// Cost     linear in the coded bytes; takes at most 4 bytes for each of `count`, and no more
  ///          than 4 for each bit that is coded.
  Result<std::span<const SparseByte>> Decode(std::span<const uint8_t> coded, size_t count);

  /// Puts them where they belong: byte `i` of the run is out[i << stride_bits]. Other bytes are left
  /// alone. After a failure it is not known which were put.
  Status Scatter(std::span<const uint8_t> coded, size_t count, uint8_t* out, uint32_t stride_bits);

 private:
  Status ReadHead(std::span<const uint8_t> coded, size_t count, size_t* entries,
                  BitStreams* streams);
  void MakeEntries(size_t count);
  template <size_t kStride>
  Status ScatterEvery(std::span<const uint8_t> coded, size_t count, uint8_t* out);
  template <typename Put>
  Status ReadEntries(size_t entries, size_t count, BitStreams* streams, Put* put) const;
  template <typename Put>
  bool ReadParts(BitStream* stream, size_t last_place, uint64_t* window, size_t* at,
                 Put* put) const;
  template <typename Put>
  size_t ReadShort(size_t done, size_t entries, size_t count, BitStreams* streams, uint64_t* passed,
                   Put* put) const;
  uint64_t ReadLong(uint64_t passed, size_t count, BitStream* stream, uint8_t* value) const;

  PrefixCodes codes_;
  // Of a whole entry: its bits in the lowest byte, none if there are more than are looked up; then
  // its value; then its gap and one.
  std::array<uint32_t, size_t{1} << kMostEntryBits> entry_of_bits_;
  uint32_t entry_bits_ = 0;   // that are looked up
  uint32_t largest_gap_ = 0;  // of these
  uint32_t gap_bits_ = 0;
  std::vector<SparseByte> found_;
};

}  // namespace graft::schema
