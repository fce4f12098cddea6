// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/alibi.h"

#include <bit>
#include <cmath>

namespace graft::converter {
namespace {

// Slope `index` of `heads`, a power of two.
float Slope(int64_t index, int64_t heads) {
  return static_cast<float>(
      std::exp2(-8.0 * static_cast<double>(index + 1) / static_cast<double>(heads)));
}

int64_t PowerOfTwoUpTo(int64_t number) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(number)));
}

}  // namespace

std::vector<float> AlibiSlopes(int64_t heads) {
  const int64_t whole = PowerOfTwoUpTo(heads);
  std::vector<float> slopes;
  for (int64_t i = 0; i < heads; ++i)
    slopes.push_back(i < whole ? Slope(i, whole) : Slope(2 * (i - whole), 2 * whole));
  return slopes;
}

std::vector<float> MptAlibiSlopes(int64_t heads) {
  const int64_t below = PowerOfTwoUpTo(heads);
  std::vector<float> slopes;
  for (int64_t i = 0; i < heads; ++i) {
    slopes.push_back(below == heads ? Slope(i, heads)
                     : i < below    ? Slope(2 * i + 1, 2 * below)
                                    : Slope(2 * (i - below), 2 * below));
  }
  return slopes;
}

float RoundToBFloat16(float number) {
  const auto bits = std::bit_cast<uint32_t>(number);
  return std::bit_cast<float>((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
}

}  // namespace graft::converter
