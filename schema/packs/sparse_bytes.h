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
#include "schema/result.h"

namespace graft::schema {

/// What coder and decoder agree on: entries take turns in so many streams; an upper part of a gap
/// that is this long is followed by no byte; a gap's lower part and a byte's code have at most so
/// many bits.
inline constexpr size_t kSparseStreams = 4;
inline constexpr uint32_t kLongGap = 31;
inline constexpr uint32_t kMostGapBits = 12;
inline constexpr uint32_t kMostCodeBits = 10;

/// The bytes of a run that are not zero.
struct SparseBytes {
  std::span<const uint32_t> places;  ///< ascending, each within the run
  std::span<const uint8_t> values;   ///< as many, none of them zero
};

/// Whether `coded` begins as sparse bytes do.
inline bool IsSparse(std::span<const uint8_t> coded) {
  return !coded.empty() && coded.front() == static_cast<uint8_t>(CodedMode::kSparse);
}

/// What decoding takes; it stays allocated from run to run.
class SparseDecoder {
 public:
  /// The bytes of a run of `count` that `coded` stands for. They stay until the next call.
  /// Requires IsSparse(coded), and at most 2^31 bytes.
  /// Errors   kCorrupt: it stands for something else.
  /// Cost     linear in the coded bytes; takes at most 5 bytes for each of `count`, and no more
  ///          than 5 for each bit that is coded.
  Result<SparseBytes> Decode(std::span<const uint8_t> coded, size_t count);

 private:
  struct Code {
    uint8_t value = 0;
    uint8_t bits = 0;
  };
  struct Stream {
    const uint8_t* bytes = nullptr;
    uint64_t bit = 0;
    uint64_t end = 0;  // in bytes
  };

  Status ReadCodes(std::span<const uint8_t>* coded);
  static Status CutIntoStreams(std::span<const uint8_t> coded,
                               std::array<Stream, kSparseStreams>* streams);
  Result<size_t> ReadEntries(size_t entries, std::array<Stream, kSparseStreams>* all_streams,
                             uint64_t* end);

  std::array<Code, size_t{1} << kMostCodeBits> code_of_bits_;
  std::vector<uint32_t> places_;
  std::vector<uint8_t> values_;
  uint32_t gap_bits_ = 0;
};

}  // namespace graft::schema
