// SPDX-License-Identifier: Apache-2.0
// The Huffman codes of bytes, as coded bytes have them. PACK_FORMAT.md, "Codes", gives the format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace graft::schema {

/// What coder and decoder agree on: a byte's code has at most so many bits, and codes take turns in
/// so many streams, or fill one each.
inline constexpr uint32_t kMostCodeBits = 10;
inline constexpr size_t kCodeStreams = 4;

class PrefixCodes {
 public:
  struct Code {
    uint8_t value = 0;
    uint8_t bits = 0;
  };

  /// Takes them from the front of *coded, all of bytes that are not below `least`.
  /// Gives what is wrong with them, or null.
  const char* Read(std::span<const uint8_t>* coded, uint8_t least);

  /// The code that the lowest bits of `window` are.
  Code CodeOf(uint64_t window) const {
    return of_bits_[static_cast<size_t>(window) & ((size_t{1} << kMostCodeBits) - 1)];
  }
  /// All that were read, ascending.
  std::span<const Code> all() const { return std::span(all_).first(count_); }
  /// The bits of the code of a byte that has one; the first one is the lowest.
  uint32_t BitsOf(uint8_t value) const { return bits_of_value_[value]; }

 private:
  std::array<Code, size_t{1} << kMostCodeBits> of_bits_;
  std::array<uint16_t, 256> bits_of_value_;
  std::array<Code, 256> all_;
  size_t count_ = 0;
};

/// Bits of a run of bytes, in each byte the lowest one first.
struct BitStream {
  const uint8_t* bytes = nullptr;
  uint64_t bit = 0;  // of the next one
  uint64_t end = 0;  // in bytes

  /// Whether a load of 64 bits stays within the stream.
  bool HasWholeWindow() const { return bit / 8 + sizeof(uint64_t) <= end; }
  /// Whether what was read ends in the last byte.
  bool IsAtEnd() const { return (bit + 7) / 8 == end; }

  /// The next bits, zeros beyond the end; at least 57.
  uint64_t Window() const {
    uint64_t window = 0;
    if (HasWholeWindow()) {
      std::memcpy(&window, bytes + bit / 8, sizeof(window));
    } else if (bit / 8 < end) {
      std::memcpy(&window, bytes + bit / 8, static_cast<size_t>(end - bit / 8));
    }
    return window >> bit % 8;
  }

  /// The next 56 bits, and a one somewhere above them. Shifted to the right as they are read, it says
  /// how many were. Requires HasWholeWindow().
  uint64_t MarkedWindow() const {
    uint64_t window = 0;
    std::memcpy(&window, bytes + bit / 8, sizeof(window));
    return (window | uint64_t{1} << 63) >> bit % 8;
  }
  /// Goes behind what was read of a marked window.
  void GoBehind(uint64_t window) {
    bit = (bit & ~uint64_t{7}) + static_cast<uint64_t>(__builtin_clzll(window));
  }
};

using BitStreams = std::array<BitStream, kCodeStreams>;

/// Takes the sizes of the streams from the front of `coded`, and cuts the rest into them.
/// Gives what is wrong with them, or null.
const char* CutIntoStreams(std::span<const uint8_t> coded, BitStreams* streams);

}  // namespace graft::schema
