// SPDX-License-Identifier: Apache-2.0
// Numbers that were codes once keep them, and numbers that were not are none the wiser.
#include "converter/quantize/grid.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "converter/quantize/encode.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

enum class Rounding : uint8_t { kNone, kBFloat16, kFloat32 };

struct Grid {
  std::vector<int> codes;
  std::vector<double> numbers;
};

// Rows of codes within [low, high], one scale for each `group`.
Grid MakeGrid(size_t count, size_t group, int low, int high, Rounding rounding, bool bf16_scales,
              uint32_t seed) {
  std::mt19937 generator(seed);
  Grid grid;
  double scale = 0;
  for (size_t i = 0; i < count; ++i) {
    if (i % group == 0) {
      const float random = 0.01f + static_cast<float>(generator() % 1000) * 1e-5f;
      scale = bf16_scales ? Bf16BitsToFloat(FloatToBf16Bits(random))
                          : HalfBitsToFloat(FloatToHalfBits(random));
    }
    // The lowest first, so that one scale alone fits.
    const int span = high - low + 1;
    const int code = i % group == 0 ? low : low + static_cast<int>(generator() % span);
    double number = code * scale;
    if (rounding == Rounding::kBFloat16) number = Bf16BitsToFloat(DoubleToBf16Bits(number));
    if (rounding == Rounding::kFloat32) number = static_cast<float>(number);
    grid.codes.push_back(code);
    grid.numbers.push_back(number);
  }
  return grid;
}

struct Encoded {
  std::vector<uint8_t> data, scales;
  std::vector<double> stored;
  GridCounts counts;
};

Encoded Encode(const StoredFormat& format, const std::vector<double>& numbers, int64_t width) {
  const auto rows = static_cast<int64_t>(numbers.size()) / width;
  Encoded out;
  out.data.resize(static_cast<size_t>(rows * format.RowDataBytes(width)));
  out.scales.resize(static_cast<size_t>(rows * format.RowScaleBytes(width)));
  out.stored.resize(numbers.size());
  const Status status = EncodeRows(format, numbers, width, out.data.data(), out.scales.data(),
                                   out.stored, nullptr, &out.counts);
  REQUIRE_MESSAGE(status.ok(), status.message());
  return out;
}

int CodeOf(const StoredFormat& format, const Encoded& encoded, size_t i) {
  if (!format.is_int4()) return static_cast<int8_t>(encoded.data[i]);
  return (encoded.data[i / 2] >> (i % 2 * 4) & 15) - 8;
}

StoredFormat Int4(uint32_t block) { return {StorageKind::kInt4Block, block}; }
constexpr StoredFormat kInt8{StorageKind::kInt8PerChannel};
constexpr StoredFormat kInt4Channel{StorageKind::kInt4PerChannel};

TEST_SUITE("converter/grid") {
  TEST_CASE("codes and scales of a grid that the format has are kept") {
    const struct {
      StoredFormat format;
      size_t group;  // of the source
      int low, high;
      Rounding rounding;
      bool bf16_scales;
      bool exact;
    } kCases[] = {
        {Int4(32), 32, -8, 7, Rounding::kNone, true, true},
        {Int4(32), 32, -7, 7, Rounding::kNone, true, true},
        {Int4(32), 64, -8, 7, Rounding::kNone, true, true},
        {Int4(64), 64, -8, 7, Rounding::kNone, true, true},
        {Int4(128), 128, -8, 7, Rounding::kNone, true, true},
        {Int4(32), 256, -8, 7, Rounding::kNone, true, true},
        {Int4(32), 32, -8, 7, Rounding::kBFloat16, true, true},   // quantization-aware training
        {Int4(32), 32, -8, 7, Rounding::kBFloat16, false, true},  // bf16 has rounded the scale
        {Int4(32), 32, -8, 7, Rounding::kNone, false, false},     // GPTQ's f16 scales
        {Int4(32), 32, -2, 1, Rounding::kNone, true, true},
        {kInt4Channel, 256, -8, 7, Rounding::kNone, false, true},
        {kInt4Channel, 256, -8, 7, Rounding::kFloat32, false, true},
        {kInt8, 256, -8, 7, Rounding::kNone, false, true},
        {kInt8, 256, -120, 120, Rounding::kNone, false, true},
        {kInt8, 256, -127, 127, Rounding::kFloat32, true, true},
    };
    uint32_t seed = 1;
    for (const auto& item : kCases) {
      CAPTURE(item.format.Name());
      CAPTURE(item.group);
      CAPTURE(item.low);
      const Grid grid =
          MakeGrid(1024, item.group, item.low, item.high, item.rounding, item.bf16_scales, ++seed);
      const Encoded encoded = Encode(item.format, grid.numbers, 256);
      size_t kept = 0;
      for (size_t i = 0; i < grid.codes.size(); ++i) {
        if (CodeOf(item.format, encoded, i) == grid.codes[i]) ++kept;
      }
      // Where a block is a part of a group, its codes may have a common divisor.
      if (item.group <= item.format.block_size || item.format.block_size == 0) {
        CHECK(kept == grid.codes.size());
      }
      CHECK(encoded.counts.on_grid == encoded.counts.groups);
      CHECK((encoded.counts.exact == encoded.counts.groups) == item.exact);
      if (item.rounding == Rounding::kNone && item.exact) CHECK(encoded.stored == grid.numbers);
    }
  }

  TEST_CASE("what was kept is kept again") {
    const Grid grid = MakeGrid(1024, 32, -8, 7, Rounding::kNone, false, 99);
    const Encoded once = Encode(Int4(32), grid.numbers, 256);
    const Encoded twice = Encode(Int4(32), once.stored, 256);
    CHECK(twice.data == once.data);
    CHECK(twice.scales == once.scales);
    CHECK(twice.counts.exact == twice.counts.groups);
  }

  TEST_CASE("a scale that would be negative is counted and searched") {
    Grid grid = MakeGrid(1024, 32, -8, 7, Rounding::kNone, true, 5);
    for (double& number : grid.numbers) number = -number;
    const Encoded encoded = Encode(Int4(32), grid.numbers, 256);
    CHECK(encoded.counts.negative == 32);
    CHECK(encoded.counts.on_grid == 0);
  }

  TEST_CASE("other numbers are searched as ever") {
    std::mt19937 generator(3);
    std::normal_distribution<double> normal(0.0, 0.02);
    std::vector<double> numbers(4096);
    for (double& number : numbers) number = Bf16BitsToFloat(DoubleToBf16Bits(normal(generator)));
    for (const StoredFormat& format : {Int4(32), Int4(64), kInt4Channel, kInt8}) {
      const Encoded encoded = Encode(format, numbers, 256);
      CHECK(encoded.counts.on_grid == 0);
      CHECK(encoded.counts.groups > 0);
    }
    // Rows of zeros are on no grid, and harm none.
    std::fill(numbers.begin(), numbers.end(), 0.0);
    CHECK(Encode(Int4(32), numbers, 256).counts.groups == 0);
    CHECK(Encode(kInt8, numbers, 256).counts.groups == 0);
  }

  TEST_CASE("rows with a grid and rows without lie side by side") {
    Grid grid = MakeGrid(512, 32, -8, 7, Rounding::kNone, true, 11);
    std::mt19937 generator(4);
    std::normal_distribution<double> normal(0.0, 0.02);
    for (size_t i = 256; i < 512; ++i) grid.numbers[i] = normal(generator);
    const Encoded encoded = Encode(Int4(32), grid.numbers, 256);
    CHECK(encoded.counts.groups == 16);
    CHECK(encoded.counts.on_grid == 8);
    const Encoded alone =
        Encode(Int4(32), std::vector<double>(grid.numbers.begin() + 256, grid.numbers.end()), 256);
    CHECK(std::memcmp(alone.data.data(), encoded.data.data() + 128, 128) == 0);
  }
}

}  // namespace
}  // namespace graft::converter
