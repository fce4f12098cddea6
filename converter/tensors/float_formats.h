// SPDX-License-Identifier: Apache-2.0
// Conversions between float64 and the stored float types: widening is exact, narrowing rounds once,
// to nearest even.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace graft::converter {

/// The float nearest to `value` from whose last bit it can be told that something was cut off
/// ("round to odd"): rounding this again to a type at least two bits narrower gives the same as
/// rounding `value` directly.
inline float RoundToOddFloat(double value) {
  const float nearest = static_cast<float>(value);
  uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const double back = nearest;
  // Not a number compares unequal to itself and must pass through unharmed.
  if (back != value && value == value) {
    if (std::fabs(back) > std::fabs(value)) bits -= 1;
    bits |= 1;
  }
  return std::bit_cast<float>(bits);
}

/// binary32 to bfloat16, to nearest even; NaN stays NaN.
inline uint16_t FloatToBf16Bits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (value != value) return static_cast<uint16_t>((bits >> 16) | 0x0040);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/// binary32 to binary16, to nearest even, subnormals included; NaN stays NaN.
inline uint16_t FloatToHalfBits(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  constexpr uint32_t kSmallestNormal = 0x38800000;  // 2^-14
  constexpr uint32_t kOverflow = 0x47800000;        // 2^16
  // Adding 0.5 leaves 2^-24, the spacing of binary16's subnormals, as the last bit of the sum.
  const uint32_t subnormal =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude < kSmallestNormal ? magnitude : 0) +
                              0.5f) -
      0x3F000000;
  const uint32_t normal =
      (magnitude - (uint32_t{112} << 23) + 0xFFF + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t special = magnitude > 0x7F800000 ? 0x7E00 : 0x7C00;
  uint32_t half = magnitude < kSmallestNormal ? subnormal : normal;
  half = magnitude >= kOverflow ? special : half;
  return static_cast<uint16_t>(half | sign);
}

inline uint16_t DoubleToBf16Bits(double value) { return FloatToBf16Bits(RoundToOddFloat(value)); }
inline uint16_t DoubleToHalfBits(double value) { return FloatToHalfBits(RoundToOddFloat(value)); }

inline float Bf16BitsToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline float HalfBitsToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7FFF) << 13;
  // Multiplying by 2^112 moves binary16's exponent range to its place in binary32, subnormals
  // included.
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
  const uint32_t special = magnitude | 0x7F800000;
  const uint32_t value = (bits & 0x7C00) == 0x7C00 ? special : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(value | sign);
}

/// binary8 with 4 bits of exponent, the finite kind of "FP8 Formats for Deep Learning" (Micikevicius
/// et al. 2022): all ones is not a number, and there is no infinity.
inline float Float8E4M3BitsToFloat(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80) << 24;
  const uint32_t magnitude = bits & 0x7F;
  // As in HalfBitsToFloat; the exponents lie 120 apart.
  const float scaled = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
  const uint32_t value = magnitude == 0x7F ? 0x7FC00000 : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(value | sign);
}

/// binary8 with 5 bits of exponent: the upper half of a binary16.
inline float Float8E5M2BitsToFloat(uint8_t bits) {
  return HalfBitsToFloat(static_cast<uint16_t>(bits << 8));
}

/// A power of two, from 2^-127 to 2^127; 255 is not a number.
inline float Float8E8M0BitsToFloat(uint8_t bits) {
  if (bits == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  return bits == 0 ? 0x1p-127f : std::bit_cast<float>(static_cast<uint32_t>(bits) << 23);
}

}  // namespace graft::converter
