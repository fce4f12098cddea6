// SPDX-License-Identifier: Apache-2.0
// Our own kernel for int4 blocks against sums of whole numbers and float64, where this CPU has it.
#include "runtime/kernels/products/block_product.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "hwy/targets.h"
#include <doctest/doctest.h>

#include "runtime/xnn/block_packing.h"

namespace graft::test {
namespace {

// Those that kernels of ours read.
constexpr runtime::BlockTile kTiles[] = {{8, 8}, {16, 4}, {16, 8}};

float Widen(uint16_t bfloat16) {
  const uint32_t bits = uint32_t{bfloat16} << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Vector levels up to 256 bits only, so that wider machines test what others run.
class NarrowVectors {
 public:
  NarrowVectors() {
    constexpr int64_t kWider = HWY_AVX3 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR;
    hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~kWider);
    hwy::GetChosenTarget().DeInit();
  }
  ~NarrowVectors() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().DeInit();
  }
  NarrowVectors(const NarrowVectors&) = delete;
  NarrowVectors& operator=(const NarrowVectors&) = delete;
};

struct Matrices {
  Matrices(runtime::BlockTile tile_in, size_t rows, size_t columns, size_t blocks, size_t block,
           bool extreme)
      : tile(tile_in),
        width(blocks * block),
        codes(rows * width),
        quantization(rows),
        data(columns * width / 2),
        scales(columns * blocks),
        bias(columns),
        packed((columns + tile.rows - 1) / tile.rows * tile.rows *
               runtime::BlockRowBytes(width, block)) {
    std::mt19937 random(static_cast<unsigned>(rows * 1000 + columns + width));
    for (int8_t& code : codes) code = extreme ? int8_t{-128} : static_cast<int8_t>(random());
    for (auto& of_row : quantization) {
      of_row = {static_cast<int32_t>(random() % 256) - 128, 0.01f};
    }
    // 15 (a weight of 7) beside -128 gives the largest sum that 16 bits have to hold.
    for (uint8_t& pair : data) pair = extreme ? uint8_t{0xFF} : static_cast<uint8_t>(random());
    for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x3C00 + random() % 0x180);
    for (float& value : bias) value = static_cast<float>(random() % 1000) / 100 - 5;
    runtime::PackBlocks(tile, {data.data(), scales.data(), bias.data(), columns, width, block},
                        packed.data());
  }

  runtime::BlockProduct Product(size_t block, float* output, size_t stride) const {
    runtime::BlockProduct product;
    product.codes = codes.data();
    product.quantization = quantization.data();
    product.rows = quantization.size();
    product.in_features = width;
    product.block_size = block;
    product.depth = tile.depth;
    product.packed = packed.data();
    product.out_features = bias.size();
    product.output = output;
    product.output_stride = stride;
    return product;
  }

  // As 64-bit ARM adds up, step by step: blocks in their order, each rounded once.
  float Rounded(size_t row, size_t column, size_t block) const {
    float code_sum = 0;
    const size_t of_tile = column / tile.rows * tile.rows * runtime::BlockRowBytes(width, block);
    std::memcpy(&code_sum, &packed[of_tile + column % tile.rows * sizeof(float)], sizeof(float));
    float sum = code_sum * static_cast<float>(quantization[row].zero_point);
    for (size_t b = 0; b < width / block; ++b) {
      int32_t products = 0;
      for (size_t k = b * block; k < (b + 1) * block; ++k)
        products += WeightAt(column, k) * codes[row * width + k];
      const float scale = Widen(scales[column * (width / block) + b]) / 16;
      sum = std::fma(static_cast<float>(16 * products), scale, sum);
    }
    return bias[column] + sum * quantization[row].scale;
  }

  int WeightAt(size_t column, size_t k) const {
    const uint8_t pair = data[(column * width + k) / 2];
    return (k % 2 == 0 ? pair & 15 : pair >> 4) - 8;
  }

  double Expected(size_t row, size_t column, size_t block) const {
    double sum = 0;
    for (size_t b = 0; b < width / block; ++b) {
      int64_t products = 0;
      for (size_t k = b * block; k < (b + 1) * block; ++k) {
        products += WeightAt(column, k) * (codes[row * width + k] - quantization[row].zero_point);
      }
      sum += static_cast<double>(products) * Widen(scales[column * (width / block) + b]);
    }
    return sum * quantization[row].scale + bias[column];
  }

  runtime::BlockTile tile;
  size_t width;
  std::vector<int8_t> codes;
  std::vector<runtime::RowQuantization> quantization;
  std::vector<uint8_t> data;
  std::vector<uint16_t> scales;
  std::vector<float> bias;
  std::vector<uint8_t> packed;
};

// The largest error of any output, against 1 or itself.
double WorstError(const Matrices& m, size_t block, const std::vector<float>& output,
                  size_t stride) {
  double worst = 0;
  for (size_t row = 0; row < m.quantization.size(); ++row) {
    for (size_t column = 0; column < m.bias.size(); ++column) {
      const double expected = m.Expected(row, column, block);
      worst = std::max(
          worst, std::fabs(output[row * stride + column] - expected) / (1 + std::fabs(expected)));
    }
  }
  return worst;
}

// Whether what lies between the rows of the output is as it was.
bool KeepsGaps(size_t rows, size_t columns, const std::vector<float>& output, size_t stride) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = columns; column < stride; ++column)
      if (output[row * stride + column] != 1e9f) return false;
  }
  return true;
}

TEST_SUITE("runtime/block_product") {
  TEST_CASE("products of int4 blocks are those of the numbers they stand for") {
    const NarrowVectors narrow;
    int tiles = 0;
    for (const runtime::BlockTile tile : kTiles) {
      if (!runtime::PrefersBlockProduct(tile, 64, 32)) continue;
      ++tiles;
      for (const size_t block : {32, 64, 96, 256}) {
        for (const size_t rows : {1, 2, 3, 4, 5, 11}) {
          for (const size_t columns : {8, 24, 37}) {
            for (const bool extreme : {false, true}) {
              const Matrices m(tile, rows, columns, 3, block, extreme);
              const size_t stride = columns + 3;
              std::vector<float> output(rows * stride, 1e9f);
              runtime::MultiplyBlocks(m.Product(block, output.data(), stride));
              CAPTURE(tile.rows);
              CAPTURE(tile.depth);
              CAPTURE(block);
              CAPTURE(rows);
              CAPTURE(columns);
              CAPTURE(extreme);
              CHECK(WorstError(m, block, output, stride) < 2e-5);
              CHECK(KeepsGaps(rows, columns, output, stride));
            }
          }
        }
      }
    }
    MESSAGE(tiles << " tiles have a kernel of ours on this CPU");
  }

#if defined(__aarch64__)
  TEST_CASE("products of int4 blocks are those of a scalar loop, bit by bit") {
    std::mt19937 random(11);
    for (const runtime::BlockTile tile : kTiles) {
      if (!runtime::PrefersBlockProduct(tile, 64, 32)) continue;
      for (int i = 0; i < 40; ++i) {
        const size_t block = size_t{32} << random() % 4;
        // Up to three passes over the columns of a panel.
        const size_t blocks = i % 8 == 0 ? 4200 / block : 1 + random() % 5;
        const size_t rows = 1 + random() % (i % 8 == 0 ? 5 : 30);
        const size_t columns = 1 + random() % 40;
        const Matrices m(tile, rows, columns, blocks, block, false);
        std::vector<float> output(rows * columns);
        runtime::MultiplyBlocks(m.Product(block, output.data(), columns));
        size_t other = 0;
        for (size_t j = 0; j < output.size(); ++j) {
          const float expected = m.Rounded(j / columns, j % columns, block);
          other += std::memcmp(&expected, &output[j], sizeof(float)) != 0;
        }
        CAPTURE(tile.depth);
        CAPTURE(block);
        CAPTURE(blocks);
        CAPTURE(rows);
        CAPTURE(columns);
        CHECK(other == 0);
      }
    }
  }
#endif

  TEST_CASE("a row gives the same bits alone and among others") {
    const NarrowVectors narrow;
    constexpr size_t kRows = 31;
    for (const runtime::BlockTile tile : kTiles) {
      if (!runtime::PrefersBlockProduct(tile, 160, 32)) continue;
      const Matrices m(tile, kRows, 16, 5, 32, false);
      std::vector<float> alone(kRows * 16);
      runtime::BlockProduct product = m.Product(32, alone.data(), 16);
      product.rows = 1;
      for (size_t row = 0; row < kRows; ++row) {
        product.codes = &m.codes[row * m.width];
        product.quantization = &m.quantization[row];
        product.output = &alone[row * 16];
        runtime::MultiplyBlocks(product);
      }
      for (size_t rows = 2; rows <= kRows; ++rows) {
        std::vector<float> together(rows * 16);
        product = m.Product(32, together.data(), 16);
        product.rows = rows;
        runtime::MultiplyBlocks(product);
        CAPTURE(tile.depth);
        CAPTURE(rows);
        CHECK(std::memcmp(alone.data(), together.data(), sizeof(float) * 16 * rows) == 0);
      }
    }
  }

  TEST_CASE("other tiles and very wide rows are left to XNNPACK") {
    const NarrowVectors narrow;
    CHECK(!runtime::PrefersBlockProduct({16, 16}, 64, 32));
    CHECK(!runtime::PrefersBlockProduct({8, 4}, 64, 32));
    for (const runtime::BlockTile tile : kTiles) {
      CHECK(!runtime::PrefersBlockProduct(tile, 64, 16));
    }
    CHECK(!runtime::PrefersBlockProduct(kTiles[0], size_t{1} << 20, 32));
  }
}

}  // namespace
}  // namespace graft::test
