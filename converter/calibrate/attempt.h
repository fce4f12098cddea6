// SPDX-License-Identifier: Apache-2.0
// Rows of weights as codes under one choice of scales.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "converter/quantize/stored_format.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {

struct Attempt {
  std::vector<float> scales;   ///< One for each group of each row.
  std::vector<int8_t> codes;   ///< [rows, width].
  std::vector<double> losses;  ///< One for each row: eᵀ H e of its errors e.
};

/// What a format has for codes and scales.
struct CodeRange {
  explicit CodeRange(const StoredFormat& format)
      : is_block(format.kind == StorageKind::kInt4Block),
        lowest(format.is_int4() ? -8.0 : -127.0),
        highest(format.is_int4() ? 7.0 : 127.0) {}

  /// The scale that is stored for this one.
  float Representable(double scale) const {
    const auto narrow = static_cast<float>(scale);
    return is_block ? Bf16BitsToFloat(FloatToBf16Bits(narrow)) : narrow;
  }
  double CodeOf(double number, double scale) const {
    // Added and taken away, the constant leaves a whole number: ties to even.
    constexpr double kShift = 0x1.8p52;
    return (std::clamp(number / scale, lowest, highest) + kShift) - kShift;
  }

  bool is_block;
  double lowest, highest;
};

/// A group's scale as the file has it.
inline float StoredScale(const StoredFormat& format, const uint8_t* scales, size_t group) {
  if (format.kind == StorageKind::kInt4Block) {
    uint16_t bits = 0;
    std::memcpy(&bits, scales + group * sizeof(bits), sizeof(bits));
    return Bf16BitsToFloat(bits);
  }
  float scale = 0;
  std::memcpy(&scale, scales + group * sizeof(scale), sizeof(scale));
  return scale;
}

}  // namespace graft::converter
