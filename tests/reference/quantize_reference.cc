// SPDX-License-Identifier: Apache-2.0
#include "tests/reference/quantize_reference.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace graft::test {
namespace {

float RoundToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
}

}  // namespace

float ReferenceBlockScale(std::span<const double> block, std::span<const float> steps) {
  float largest = 0;
  for (const double number : block) {
    largest = std::max(largest, std::fabs(static_cast<float>(number)));
  }
  if (largest == 0) return 1;
  const float to_unit = largest < 0x1p-126f ? 0 : 1 / largest;
  float best_gain = 0;
  float best_ratio = 0;
  for (const float step : steps) {
    float xq = 0;
    float qq = 0;
    for (const double number : block) {
      const float x = static_cast<float>(number) * to_unit;
      const float q = std::nearbyint(std::min(7.0f, std::max(-8.0f, x * step)));
      const float product = x * q;
      xq = xq + product;
      const float square = q * q;
      qq = qq + square;
    }
    const float ratio = xq / qq;
    const float gain = xq * ratio;
    if (gain > best_gain) {
      best_gain = gain;
      best_ratio = ratio;
    }
  }
  return std::max(RoundToBf16(largest * best_ratio), 0x1p-126f);
}

int ReferenceCode(double number, double scale, int low, int high) {
  const double code = std::nearbyint(number / scale);
  return static_cast<int>(std::min<double>(high, std::max<double>(low, code)));
}

double LeastBlockError(std::span<const double> block) {
  double largest = 0;
  double squares = 0;
  for (const double number : block) {
    largest = std::max(largest, std::fabs(number));
    squares += number * number;
  }
  double least = squares;
  const uint32_t end = std::bit_cast<uint32_t>(RoundToBf16(static_cast<float>(largest / 5)));
  uint32_t bits = std::bit_cast<uint32_t>(RoundToBf16(static_cast<float>(largest / 16)));
  for (; bits <= end; bits += 0x10000) {
    const double scale = std::bit_cast<float>(bits);
    double error = 0;
    for (const double number : block) {
      const double difference = number - ReferenceCode(number, scale, -8, 7) * scale;
      error += difference * difference;
    }
    least = std::min(least, error);
  }
  return std::sqrt(least / squares);
}

double RelativeError(std::span<const double> numbers, std::span<const double> stored) {
  double error = 0;
  double squares = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    error += (numbers[i] - stored[i]) * (numbers[i] - stored[i]);
    squares += numbers[i] * numbers[i];
  }
  return std::sqrt(error / squares);
}

}  // namespace graft::test
