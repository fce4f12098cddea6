// SPDX-License-Identifier: Apache-2.0
// Blocks of 32 or 64 with one scale each, or one for each part.
#include "converter/formats/gguf/gguf_blocks.h"

#include <bit>
#include <cmath>

#include "converter/base/little_endian.h"
#include "converter/formats/gguf/code_values.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

constexpr int kBlock = 32;
constexpr int kHalf = kBlock / 2;

float HalfAt(const uint8_t* bytes) { return HalfBitsToFloat(LoadLittleEndian<uint16_t>(bytes)); }

// Element i of the first half is in the low bits of byte i, of the second half in the high ones.
int NibbleAt(const uint8_t* codes, int i) {
  return i < kHalf ? codes[i] & 0x0F : codes[i - kHalf] >> 4;
}

int FiveBitsAt(const uint8_t* codes, uint32_t high_bits, int i) {
  return NibbleAt(codes, i) | static_cast<int>(high_bits >> i & 1) << 4;
}

}  // namespace

void DecodeQ4_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  for (int i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(NibbleAt(block + 2, i) - 8);
}

void DecodeQ4_1(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float least = HalfAt(block + 2);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = scale * static_cast<float>(NibbleAt(block + 4, i)) + least;
  }
}

void DecodeQ5_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const auto high_bits = LoadLittleEndian<uint32_t>(block + 2);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = scale * static_cast<float>(FiveBitsAt(block + 6, high_bits, i) - 16);
  }
}

void DecodeQ5_1(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float least = HalfAt(block + 2);
  const auto high_bits = LoadLittleEndian<uint32_t>(block + 4);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = scale * static_cast<float>(FiveBitsAt(block + 8, high_bits, i)) + least;
  }
}

void DecodeQ8_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * scale;
  }
}

void DecodeIq4Nl(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = scale * static_cast<float>(kIq4Values[NibbleAt(block + 2, i)]);
  }
}

// The scale is an exponent; the values are doubled, the scale halved.
void DecodeMxfp4(const uint8_t* block, float* out) {
  const uint32_t exponent = block[0];
  const float scale =
      std::bit_cast<float>(exponent < 2 ? uint32_t{0x00200000} << exponent : (exponent - 1) << 23);
  for (int i = 0; i < kBlock; ++i) {
    out[i] = scale * static_cast<float>(kFp4DoubledValues[NibbleAt(block + 1, i)]);
  }
}

// Four parts of 16, each with a scale of 4 exponent bits and 3 of mantissa.
void DecodeNvfp4(const uint8_t* block, float* out) {
  constexpr int kParts = 4;
  for (int part = 0; part < kParts; ++part) {
    const int code = block[part];
    const int exponent = code >> 3 & 0x0F;
    const auto mantissa = static_cast<float>(code & 7);
    const float magnitude =
        exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(1.0f + mantissa / 8.0f, exponent - 7);
    const float scale = code == 0 || code == 0x7F ? 0.0f : magnitude * 0.5f;
    const uint8_t* codes = &block[kParts + part * 8];
    for (int i = 0; i < 16; ++i) {
      const int nibble = i < 8 ? codes[i] & 0x0F : codes[i - 8] >> 4;
      out[part * 16 + i] = scale * static_cast<float>(kFp4DoubledValues[nibble]);
    }
  }
}

}  // namespace graft::converter
