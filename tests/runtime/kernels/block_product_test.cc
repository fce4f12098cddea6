// SPDX-License-Identifier: Apache-2.0
// Our own kernel for int4 blocks against sums of whole numbers and float64, where this CPU has it.
#include "runtime/kernels/block_product.h"

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

constexpr size_t kTile = 8;

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
  Matrices(size_t rows, size_t columns, size_t blocks, size_t block, bool extreme)
      : width(blocks * block),
        codes(rows * width),
        quantization(rows),
        data(columns * width / 2),
        scales(columns * blocks),
        bias(columns),
        packed((columns + kTile - 1) / kTile * kTile * runtime::BlockRowBytes(width, block)) {
    std::mt19937 random(static_cast<unsigned>(rows * 1000 + columns + width));
    for (int8_t& code : codes) code = extreme ? int8_t{-128} : static_cast<int8_t>(random());
    for (auto& of_row : quantization) {
      of_row = {static_cast<int32_t>(random() % 256) - 128, 0.01f};
    }
    // 15 (a weight of 7) beside -128 gives the largest sum that 16 bits have to hold.
    for (uint8_t& pair : data) pair = extreme ? uint8_t{0xFF} : static_cast<uint8_t>(random());
    for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x3C00 + random() % 0x180);
    for (float& value : bias) value = static_cast<float>(random() % 1000) / 100 - 5;
    runtime::PackBlocks({kTile}, {data.data(), scales.data(), bias.data(), columns, width, block},
                        packed.data());
  }

  double Expected(size_t row, size_t column, size_t block) const {
    double sum = 0;
    for (size_t b = 0; b < width / block; ++b) {
      int64_t products = 0;
      for (size_t k = b * block; k < (b + 1) * block; ++k) {
        const uint8_t pair = data[(column * width + k) / 2];
        const int weight = (k % 2 == 0 ? pair & 15 : pair >> 4) - 8;
        products += weight * (codes[row * width + k] - quantization[row].zero_point);
      }
      sum += static_cast<double>(products) * Widen(scales[column * (width / block) + b]);
    }
    return sum * quantization[row].scale + bias[column];
  }

  size_t width;
  std::vector<int8_t> codes;
  std::vector<runtime::RowQuantization> quantization;
  std::vector<uint8_t> data;
  std::vector<uint16_t> scales;
  std::vector<float> bias;
  std::vector<uint8_t> packed;
};

TEST_SUITE("runtime/block_product") {
  TEST_CASE("products of int4 blocks are those of the numbers they stand for") {
    const NarrowVectors narrow;
    if (!runtime::PrefersBlockProduct(kTile, 64, 32)) {
      MESSAGE("this CPU has no kernel of ours");
      return;
    }
    for (const size_t block : {32, 64, 96, 256}) {
      for (const size_t rows : {1, 2, 3, 4, 5, 11}) {
        for (const size_t columns : {8, 24, 37}) {
          for (const bool extreme : {false, true}) {
            const Matrices m(rows, columns, 3, block, extreme);
            const size_t stride = columns + 3;
            std::vector<float> output(rows * stride, 1e9f);
            runtime::BlockProduct product;
            product.codes = m.codes.data();
            product.quantization = m.quantization.data();
            product.rows = rows;
            product.in_features = m.width;
            product.block_size = block;
            product.packed = m.packed.data();
            product.out_features = columns;
            product.output = output.data();
            product.output_stride = stride;
            runtime::MultiplyBlocks(product);
            double worst = 0;
            bool kept = true;
            for (size_t row = 0; row < rows; ++row) {
              for (size_t column = 0; column < columns; ++column) {
                const double expected = m.Expected(row, column, block);
                worst = std::max(worst, std::fabs(output[row * stride + column] - expected) /
                                            (1 + std::fabs(expected)));
              }
              for (size_t column = columns; column < stride; ++column) {
                kept &= output[row * stride + column] == 1e9f;
              }
            }
            CAPTURE(block);
            CAPTURE(rows);
            CAPTURE(columns);
            CAPTURE(extreme);
            CHECK(worst < 2e-5);
            CHECK(kept);
          }
        }
      }
    }
  }

  TEST_CASE("a row gives the same bits alone and among others") {
    const NarrowVectors narrow;
    if (!runtime::PrefersBlockProduct(kTile, 160, 32)) return;
    const Matrices m(7, 16, 5, 32, false);
    std::vector<float> together(7 * 16), alone(16);
    runtime::BlockProduct product;
    product.codes = m.codes.data();
    product.quantization = m.quantization.data();
    product.rows = 7;
    product.in_features = m.width;
    product.block_size = 32;
    product.packed = m.packed.data();
    product.out_features = product.output_stride = 16;
    product.output = together.data();
    runtime::MultiplyBlocks(product);
    product.rows = 1;
    product.output = alone.data();
    for (size_t row = 0; row < 7; ++row) {
      product.codes = &m.codes[row * m.width];
      product.quantization = &m.quantization[row];
      runtime::MultiplyBlocks(product);
      CHECK(std::memcmp(alone.data(), &together[row * 16], sizeof(float) * 16) == 0);
    }
  }

  TEST_CASE("other tiles and very wide rows are left to XNNPACK") {
    const NarrowVectors narrow;
    CHECK(!runtime::PrefersBlockProduct(16, 64, 32));
    CHECK(!runtime::PrefersBlockProduct(kTile, 64, 16));
    CHECK(!runtime::PrefersBlockProduct(kTile, size_t{1} << 20, 32));
  }
}

}  // namespace
}  // namespace graft::test
