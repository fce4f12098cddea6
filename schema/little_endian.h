// SPDX-License-Identifier: Apache-2.0
// Integers as files have them: the lowest byte first, at any place.
#pragma once

#include <cstdint>

namespace graft::schema {

/// Writes `value` to 4 bytes.
inline void PutU32(uint8_t* out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

/// Writes `value` to 8 bytes.
inline void PutU64(uint8_t* out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<uint8_t>(value >> (8 * i));
}

/// The integer that 4 bytes hold.
inline uint32_t GetU32(const uint8_t* in) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= uint32_t{in[i]} << (8 * i);
  return value;
}

/// The integer that 8 bytes hold.
inline uint64_t GetU64(const uint8_t* in) { return GetU32(in) | uint64_t{GetU32(in + 4)} << 32; }

}  // namespace graft::schema
