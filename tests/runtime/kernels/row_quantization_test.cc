// SPDX-License-Identifier: Apache-2.0
// Rows that are quantized together have the codes that the formula gives each by itself.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/kernels/row_kernels.h"

namespace graft::test {
namespace {

struct Row {
  int32_t zero_point = 0;
  float scale = 0;
  std::vector<int8_t> codes;
};

// In scalar float32, as the comment of QuantizeRows says.
Row QuantizedAlone(const float* x, size_t width) {
  const float low = std::min(0.0f, *std::min_element(x, x + width));
  const float high = std::max(0.0f, *std::max_element(x, x + width));
  const float steps = low == high ? 1.0f : 255.0f / (high - low);
  const float low_code = low * steps, high_code = high * steps;
  const float zero =
      (-128.0f + low_code) + (127.0f + high_code) > 0 ? -128.0f - low_code : 127.0f - high_code;
  Row row;
  row.zero_point = static_cast<int32_t>(std::lrint(std::clamp(zero, -128.0f, 127.0f)));
  row.scale = 1.0f / steps;
  const float factor = 1.0f / row.scale;
  for (size_t i = 0; i < width; ++i) {
    const auto code = static_cast<int32_t>(std::lrint(x[i] * factor)) + row.zero_point;
    row.codes.push_back(static_cast<int8_t>(std::clamp(code, -128, 127)));
  }
  return row;
}

TEST_SUITE("runtime/kernels") {
  TEST_CASE("rows quantized together") {
    for (const size_t width : {1, 3, 16, 24, 33, 130}) {
      for (const size_t rows : {1, 15, 16, 17, 40}) {
        CAPTURE(width);
        CAPTURE(rows);
        std::vector<float> x(rows * width);
        std::mt19937 random(static_cast<unsigned>(rows * width));
        for (size_t row = 0; row < rows; ++row) {
          // Rows of one sign, of both, of zeros, large and small.
          const float least = row % 3 == 1 ? 0.0f : -1.0f, most = row % 3 == 2 ? 0.0f : 1.0f;
          const float size = row % 7 == 3 ? 0.0f : std::exp2(static_cast<float>(row) - 20.0f);
          std::uniform_real_distribution<float> numbers(least * size, most * size);
          std::generate_n(x.data() + row * width, width, [&] { return numbers(random); });
        }
        std::vector<int8_t> codes(rows * width);
        std::vector<runtime::RowQuantization> quantization(rows);
        runtime::QuantizeRows(x.data(), rows, width, codes.data(), quantization.data());
        for (size_t row = 0; row < rows; ++row) {
          CAPTURE(row);
          const Row alone = QuantizedAlone(x.data() + row * width, width);
          CHECK(quantization[row].zero_point == alone.zero_point);
          CHECK(quantization[row].scale == alone.scale);
          CHECK(std::equal(alone.codes.begin(), alone.codes.end(), codes.data() + row * width));
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
