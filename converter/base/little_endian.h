// SPDX-License-Identifier: Apache-2.0
// Little-endian integers out of bytes that need not be aligned.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace graft::converter {

/// The integer at `bytes`, which must hold sizeof(T) of them.
template <std::unsigned_integral T>
inline T LoadLittleEndian(const uint8_t* bytes) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value | static_cast<T>(bytes[i]) << (8 * i));
  }
  return value;
}

}  // namespace graft::converter
