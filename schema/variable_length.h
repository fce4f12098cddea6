// SPDX-License-Identifier: Apache-2.0
// Numbers in as many bytes as they need (LEB128): seven bits to a byte, low ones first, the eighth
// set in all bytes but the last.
#pragma once

#include <cstdint>
#include <span>

namespace graft::schema {

/// Takes a number from the front of `bytes`; false if they end before it does, or it does not fit.
[[nodiscard]] inline bool TakeNumber(std::span<const uint8_t>* bytes, uint64_t* number) {
  *number = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes->empty()) return false;
    const uint8_t byte = bytes->front();
    *bytes = bytes->subspan(1);
    if (shift == 63 && byte > 1) return false;
    *number |= uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

/// Takes a number that may be negative: 0, -1, 1, -2, ... are written as 0, 1, 2, 3, ...
[[nodiscard]] inline bool TakeSigned(std::span<const uint8_t>* bytes, int64_t* number) {
  uint64_t folded = 0;
  if (!TakeNumber(bytes, &folded)) return false;
  *number = static_cast<int64_t>(folded >> 1 ^ (~(folded & 1) + 1));
  return true;
}

}  // namespace graft::schema
