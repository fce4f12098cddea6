// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/round_inputs.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "converter/calibrate/numbers/integer_products.h"

namespace graft::converter {

bool RoundInputRow(std::span<const float> row, int16_t* codes, float* scale) {
  float least = 0, most = 0, all = 0;
  for (const float x : row) {
    least = std::min(least, x);
    most = std::max(most, x);
    all += x * 0.0f;  // 0, or not a number
  }
  *scale = 0;
  const bool finite = all == 0.0f;
  if (!finite || least == most) {
    std::fill_n(codes, row.size(), int16_t{0});
    return finite;
  }
  const float inverse = 255.0f / (most - least);
  if (!std::isnormal(inverse) || !std::isnormal(1.0f / inverse)) {
    std::fill_n(codes, row.size(), int16_t{0});
    return true;
  }
  *scale = 1.0f / inverse;
  const float zero = std::clamp(std::nearbyint(-128.0f - least * inverse), -128.0f, 127.0f);
  RoundToCodes(row.data(), row.size(), inverse, zero, codes);
  return true;
}

bool RoundInputs(std::span<float> rows, size_t width) {
  std::vector<int16_t> codes(width);
  bool finite = true;
  for (size_t at = 0; at < rows.size(); at += width) {
    float scale = 0;
    finite = RoundInputRow(rows.subspan(at, width), codes.data(), &scale) && finite;
    for (size_t i = 0; i < width; ++i) rows[at + i] = static_cast<float>(codes[i]) * scale;
  }
  return finite;
}

}  // namespace graft::converter
