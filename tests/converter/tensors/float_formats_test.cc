// SPDX-License-Identifier: Apache-2.0
// Widening is exact and narrowing rounds once, checked over every 16-bit number and around every
// tie between two.
#include "converter/tensors/float_formats.h"

#include <cmath>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

double FromBits(DType dtype, uint16_t bits) {
  return dtype == DType::kFloat16 ? HalfBitsToFloat(bits) : Bf16BitsToFloat(bits);
}

uint16_t ToBits(DType dtype, double value) {
  return dtype == DType::kFloat16 ? DoubleToHalfBits(value) : DoubleToBf16Bits(value);
}

uint16_t Infinity(DType dtype) { return dtype == DType::kFloat16 ? 0x7C00 : 0x7F80; }

// The value of a finite 16-bit pattern from its fields, without the code under test.
double ByDefinition(DType dtype, uint16_t bits) {
  const int mantissa_bits = dtype == DType::kFloat16 ? 10 : 7;
  const int bias = dtype == DType::kFloat16 ? 15 : 127;
  const int exponent = (bits & 0x7FFF) >> mantissa_bits;
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const double value =
      exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                    : std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  return (bits & 0x8000) != 0 ? -value : value;
}

TEST_SUITE("converter/float_formats") {
  TEST_CASE("widens every 16-bit number to the value its fields say, and back to itself") {
    for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
      int wrong = 0;
      for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const uint16_t stored = static_cast<uint16_t>(bits);
        const double value = FromBits(dtype, stored);
        if ((stored & 0x7FFF) > Infinity(dtype)) {
          wrong += !std::isnan(value) || !std::isnan(FromBits(dtype, ToBits(dtype, value)));
        } else if ((stored & 0x7FFF) == Infinity(dtype)) {
          wrong += !std::isinf(value) || std::signbit(value) != ((stored & 0x8000) != 0);
        } else {
          wrong += value != ByDefinition(dtype, stored) || ToBits(dtype, value) != stored;
        }
      }
      CHECK(wrong == 0);
    }
  }

  TEST_CASE("rounds to nearest even at, just below and just above every tie") {
    for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
      int wrong = 0;
      for (uint16_t bits = 0; bits < Infinity(dtype); ++bits) {
        const double low = FromBits(dtype, bits);
        // Beyond the largest number the next step would be where the infinity stands.
        const double high = bits + 1 == Infinity(dtype)
                                ? low + (low - FromBits(dtype, static_cast<uint16_t>(bits - 1)))
                                : FromBits(dtype, static_cast<uint16_t>(bits + 1));
        const double tie = low + (high - low) / 2;
        const uint16_t even = static_cast<uint16_t>(bits % 2 == 0 ? bits : bits + 1);
        for (const double sign : {1.0, -1.0}) {
          const uint16_t sign_bit = sign < 0 ? 0x8000 : 0;
          wrong += ToBits(dtype, sign * tie) != (even | sign_bit);
          // One float64 step off the tie: a detour over float32 would land on the tie and lose it.
          wrong += ToBits(dtype, sign * std::nextafter(tie, 0.0)) != (bits | sign_bit);
          wrong += ToBits(dtype, sign * std::nextafter(tie, HUGE_VAL)) != ((bits + 1) | sign_bit);
        }
      }
      CHECK(wrong == 0);
    }
  }

  TEST_CASE("narrows and widens whole arrays as one by one") {
    std::mt19937_64 engine(20240607);
    std::vector<double> values;
    for (int i = 0; i < 100003; ++i) {
      // Every exponent that matters, not only those near 1.
      const double unit = static_cast<double>(engine() >> 11) * 0x1p-53 - 0.5;
      values.push_back(std::ldexp(unit, static_cast<int>(engine() % 330) - 170));
    }
    for (const double special :
         {0.0, -0.0, HUGE_VAL, -HUGE_VAL, std::nan(""), 65519.999, 65520.0, 0x1p-25, 0x1p-150}) {
      values.push_back(special);
    }
    std::vector<uint8_t> stored(values.size() * 8);
    std::vector<double> back(values.size());
    for (const DType dtype : {DType::kFloat16, DType::kBFloat16}) {
      Narrow(dtype, values.data(), values.size(), stored.data());
      Widen(dtype, stored.data(), values.size(), back.data());
      int wrong = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        const uint16_t bits = static_cast<uint16_t>(stored[2 * i] | stored[2 * i + 1] << 8);
        const uint16_t expected = ToBits(dtype, values[i]);
        wrong += bits != expected;
        const double widened = FromBits(dtype, expected);
        wrong += !(back[i] == widened || (std::isnan(back[i]) && std::isnan(widened)));
      }
      CHECK(wrong == 0);
    }
    Narrow(DType::kFloat32, values.data(), values.size(), stored.data());
    Widen(DType::kFloat32, stored.data(), values.size(), back.data());
    int wrong = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = static_cast<float>(values[i]);
      wrong += !(back[i] == expected || (std::isnan(back[i]) && std::isnan(expected)));
    }
    CHECK(wrong == 0);
  }

  TEST_CASE("widens integers by value") {
    const int8_t bytes[] = {-128, -1, 0, 1, 127};
    double out[5];
    Widen(DType::kInt8, reinterpret_cast<const uint8_t*>(bytes), 5, out);
    for (int i = 0; i < 5; ++i) CHECK(out[i] == bytes[i]);
    Widen(DType::kUInt8, reinterpret_cast<const uint8_t*>(bytes), 5, out);
    CHECK(out[0] == 128);
    const int64_t large[] = {-(int64_t{1} << 53), 7};
    Widen(DType::kInt64, reinterpret_cast<const uint8_t*>(large), 2, out);
    CHECK(out[0] == -0x1p53);
  }
}

}  // namespace
}  // namespace graft::converter
