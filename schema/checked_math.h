// SPDX-License-Identifier: Apache-2.0
// Arithmetic on numbers that come from files: every operation says whether it overflowed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft {

/// *out = a * b; false, with *out unspecified, if the product does not fit.
template <typename T>
[[nodiscard]] inline bool CheckedMultiply(T a, T b, T* out) {
  return !__builtin_mul_overflow(a, b, out);
}

/// *out = a + b; false, with *out unspecified, if the sum does not fit.
template <typename T>
[[nodiscard]] inline bool CheckedAdd(T a, T b, T* out) {
  return !__builtin_add_overflow(a, b, out);
}

/// Whether [offset, offset + size) lies inside [0, limit), without ever computing offset + size.
[[nodiscard]] inline bool RangeFits(uint64_t offset, uint64_t size, uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

/// The smallest multiple of `alignment` (a power of two) that is >= value; false if it does not
/// fit.
[[nodiscard]] inline bool CheckedAlignUp(uint64_t value, uint64_t alignment, uint64_t* out) {
  uint64_t sum = 0;
  if (!CheckedAdd(value, alignment - 1, &sum)) return false;
  *out = sum & ~(alignment - 1);
  return true;
}

/// The sum of two sizes, or the largest number there is.
inline uint64_t SaturatingAdd(uint64_t a, uint64_t b) {
  return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

}  // namespace graft
