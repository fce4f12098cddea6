// SPDX-License-Identifier: Apache-2.0
// Blocks of 256: parts whose scales are codes themselves, and ternary numbers.
#include <array>

#include "converter/base/little_endian.h"
#include "converter/formats/gguf/code_values.h"
#include "converter/formats/gguf/gguf_blocks.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

constexpr int kBlock = 256;

float HalfAt(const uint8_t* bytes) { return HalfBitsToFloat(LoadLittleEndian<uint16_t>(bytes)); }

// Codes of two bits: 32 bytes hold 128 elements, byte i the elements i, i + 32, i + 64, i + 96.
int TwoBitsAt(const uint8_t* codes, int i) {
  const int within = i % 128;
  return codes[i / 128 * 32 + within % 32] >> (2 * (within / 32)) & 3;
}

// Codes of four bits: 32 bytes hold 64 elements, byte i the elements i and i + 32.
int FourBitsAt(const uint8_t* codes, int i) {
  const uint8_t byte = codes[i / 64 * 32 + i % 32];
  return i % 64 < 32 ? byte & 0x0F : byte >> 4;
}

// One bit more for each: byte i holds those of the elements i, i + 32, i + 64, ...
int BitAt(const uint8_t* bits, int i) { return bits[i % 32] >> (i / 32) & 1; }

// Q4_K and Q5_K: eight parts of 32, a scale and an offset of six bits each, in 12 bytes.
struct PartScales {
  std::array<int, 8> scale;
  std::array<int, 8> offset;
};

PartScales UnpackScales(const uint8_t* packed) {
  PartScales scales{};
  for (size_t i = 0; i < 4; ++i) {
    const int low = packed[i];
    const int middle = packed[4 + i];
    const int high = packed[8 + i];
    scales.scale[i] = low & 0x3F;
    scales.offset[i] = middle & 0x3F;
    scales.scale[4 + i] = (high & 0x0F) | (low >> 2 & 0x30);
    scales.offset[4 + i] = high >> 4 | (middle >> 2 & 0x30);
  }
  return scales;
}

// 16 elements with one scale, without offset.
void Scale16(float scale, const std::array<int, 16>& codes, float* out) {
  for (size_t i = 0; i < codes.size(); ++i) out[i] = scale * static_cast<float>(codes[i]);
}

}  // namespace

void DecodeQ2K(const uint8_t* block, float* out) {
  const uint8_t* scales = block;
  const uint8_t* codes = block + 16;
  const float scale = HalfAt(block + 80);
  const float offset_scale = HalfAt(block + 82);
  for (int i = 0; i < kBlock; ++i) {
    const int part = i / 16;
    const float part_scale = scale * static_cast<float>(scales[part] & 0x0F);
    const float offset = offset_scale * static_cast<float>(scales[part] >> 4);
    out[i] = part_scale * static_cast<float>(TwoBitsAt(codes, i)) - offset;
  }
}

void DecodeQ3K(const uint8_t* block, float* out) {
  const uint8_t* bits = block;
  const uint8_t* codes = block + 32;
  const uint8_t* packed = block + 96;
  const float scale = HalfAt(block + 108);
  for (int part = 0; part < 16; ++part) {
    const int low = part < 8 ? packed[part] & 0x0F : packed[part - 8] >> 4;
    const int high = packed[8 + part % 4] >> (2 * (part / 4)) & 3;
    std::array<int, 16> values{};
    for (int i = 0; i < 16; ++i) {
      const int at = part * 16 + i;
      values[static_cast<size_t>(i)] = TwoBitsAt(codes, at) - (BitAt(bits, at) != 0 ? 0 : 4);
    }
    Scale16(scale * static_cast<float>((low | high << 4) - 32), values, out);
    out += 16;
  }
}

void DecodeQ4K(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float offset_scale = HalfAt(block + 2);
  const PartScales parts = UnpackScales(block + 4);
  const uint8_t* codes = block + 16;
  for (size_t part = 0; part < 8; ++part) {
    const float part_scale = scale * static_cast<float>(parts.scale[part]);
    const float offset = offset_scale * static_cast<float>(parts.offset[part]);
    const uint8_t* bytes = codes + part / 2 * 32;
    const int shift = part % 2 == 0 ? 0 : 4;
    float* to = out + part * 32;
    for (int i = 0; i < 32; ++i) {
      to[i] = part_scale * static_cast<float>(bytes[i] >> shift & 0x0F) - offset;
    }
  }
}

void DecodeQ5K(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const float offset_scale = HalfAt(block + 2);
  const PartScales parts = UnpackScales(block + 4);
  const uint8_t* bits = block + 16;
  const uint8_t* codes = block + 48;
  for (int i = 0; i < kBlock; ++i) {
    const auto part = static_cast<size_t>(i / 32);
    const float part_scale = scale * static_cast<float>(parts.scale[part]);
    const float offset = offset_scale * static_cast<float>(parts.offset[part]);
    const int code = FourBitsAt(codes, i) | BitAt(bits, i) << 4;
    out[i] = part_scale * static_cast<float>(code) - offset;
  }
}

void DecodeQ6K(const uint8_t* block, float* out) {
  const uint8_t* low = block;
  const uint8_t* high = block + 128;
  const uint8_t* scales = block + 192;
  const float scale = HalfAt(block + 208);
  for (int part = 0; part < 16; ++part) {
    std::array<int, 16> values{};
    for (int i = 0; i < 16; ++i) {
      const int at = part * 16 + i;
      const int within = at % 128;
      const uint8_t byte = low[at / 128 * 64 + within % 64];
      const int nibble = within < 64 ? byte & 0x0F : byte >> 4;
      values[static_cast<size_t>(i)] = (nibble | TwoBitsAt(high, at) << 4) - 32;
    }
    Scale16(scale * static_cast<float>(static_cast<int8_t>(scales[part])), values, out);
    out += 16;
  }
}

void DecodeIq4Xs(const uint8_t* block, float* out) {
  const float scale = HalfAt(block);
  const auto high = LoadLittleEndian<uint16_t>(block + 2);
  const uint8_t* low = block + 4;
  const uint8_t* codes = block + 8;
  for (int part = 0; part < 8; ++part) {
    const int low_bits = low[part / 2] >> (part % 2 == 0 ? 0 : 4) & 0x0F;
    const int code = low_bits | (high >> (2 * part) & 3) << 4;
    const float part_scale = scale * static_cast<float>(code - 32);
    for (int i = 0; i < 32; ++i) {
      const uint8_t byte = codes[part * 16 + i % 16];
      out[part * 32 + i] =
          part_scale * static_cast<float>(kIq4Values[i < 16 ? byte & 0x0F : byte >> 4]);
    }
  }
}

// A byte holds five digits to the base of three as a fraction of 256: times 3^k, its next digit is
// what goes over.
void DecodeTq1_0(const uint8_t* block, float* out) {
  constexpr std::array<uint8_t, 5> kPowers = {1, 3, 9, 27, 81};
  const float scale = HalfAt(block + 52);
  // Groups of `bytes` bytes, each of `digits` digits.
  const auto decode = [scale, &kPowers, &out](const uint8_t* codes, int bytes, size_t digits) {
    for (size_t digit = 0; digit < digits; ++digit) {
      for (int i = 0; i < bytes; ++i) {
        const auto shifted = static_cast<uint8_t>(codes[i] * kPowers[digit]);
        *out++ = scale * static_cast<float>((shifted * 3 >> 8) - 1);
      }
    }
  };
  decode(block, 32, 5);
  decode(block + 32, 16, 5);
  decode(block + 48, 4, 4);
}

void DecodeTq2_0(const uint8_t* block, float* out) {
  const float scale = HalfAt(block + 64);
  for (int i = 0; i < kBlock; ++i) out[i] = scale * static_cast<float>(TwoBitsAt(block, i) - 1);
}

}  // namespace graft::converter
