// SPDX-License-Identifier: Apache-2.0
// Rows changed where they lie packed have the bytes of rows packed anew.
#include "runtime/xnn/row_patcher.h"

#include <cstring>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/xnn/linear_operator.h"
#include "runtime/xnn/pack_rows.h"

namespace graft::test {
namespace {

using runtime::WeightFormat;

struct Matrix {
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scales;
  std::vector<float> bias;

  runtime::StoredMatrix Stored(const runtime::LinearWeights& weights) const {
    return {weights.format,     weights.out_features, weights.in_features,
            weights.block_size, codes.data(),         scales.data()};
  }
  std::vector<uint8_t> Packed(const runtime::LinearWeights& weights) const {
    std::vector<uint8_t> packed(weights.packed_bytes);
    REQUIRE(runtime::PackRows("weight", weights, Stored(weights), bias.data(), 0,
                              weights.out_features, packed.data())
                .ok());
    return packed;
  }
};

Matrix RandomMatrix(const runtime::LinearWeights& weights, std::mt19937& random) {
  Matrix matrix;
  const size_t rows = weights.out_features, width = weights.in_features;
  matrix.codes.resize(rows * (weights.format == WeightFormat::kInt8Channel ? width : width / 2));
  for (uint8_t& code : matrix.codes) code = static_cast<uint8_t>(random());
  const auto put = [&matrix](auto scale) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(&scale);
    matrix.scales.insert(matrix.scales.end(), bytes, bytes + sizeof(scale));
  };
  if (weights.format == WeightFormat::kInt4Block) {
    for (size_t i = 0; i < rows * (width / weights.block_size); ++i)
      put(static_cast<uint16_t>(0x3000 + random() % 0x1000));
  } else {
    for (size_t i = 0; i < rows; ++i) put(static_cast<float>(1 + random() % 1000) / 4096);
  }
  for (size_t i = 0; i < rows; ++i) matrix.bias.push_back(static_cast<float>(random() % 100) - 50);
  return matrix;
}

// What has to be added to `from`, byte by byte, or code by code if they are of four bits.
using Differences = std::vector<schema::SparseByte>;
void Add(size_t place, unsigned value, Differences* to) {
  if ((value & 0xFF) != 0) to->push_back({static_cast<uint32_t>(place << 8 | (value & 0xFF))});
}

// Other codes here and there, other scales and biases. `places` are counted from `first` on.
Matrix Change(const runtime::LinearWeights& weights, const Matrix& from, uint32_t first,
              std::mt19937& random, Differences* codes, Differences (*scales)[2]) {
  Matrix matrix = from;
  for (size_t i = 0; i < matrix.codes.size(); ++i) {
    if (random() % 9 != 0) continue;
    const uint8_t before = matrix.codes[i];
    const auto after = static_cast<uint8_t>(random());
    matrix.codes[i] = after;
    const unsigned whole = after - before;
    const unsigned low = (after & 15u) - (before & 15u), high = (after >> 4) - (before >> 4);
    const bool is_int8 = weights.format == WeightFormat::kInt8Channel;
    Add(first + i, is_int8 ? whole : (low & 15) | (high & 15) << 4, codes);
  }
  for (float& bias : matrix.bias) bias += 1;
  if (weights.format != WeightFormat::kInt4Block) {
    matrix.scales = RandomMatrix(weights, random).scales;
    return matrix;
  }
  for (size_t i = 0; i < matrix.scales.size(); i += 2) {
    if (random() % 7 != 0) continue;
    uint16_t before, after = static_cast<uint16_t>(0x3000 + random() % 0x1000);
    std::memcpy(&before, &matrix.scales[i], sizeof(before));
    std::memcpy(&matrix.scales[i], &after, sizeof(after));
    after = static_cast<uint16_t>(after - before);
    Add(first + i / 2, after, &(*scales)[0]);
    Add(first + i / 2, after >> 8, &(*scales)[1]);
  }
  return matrix;
}

runtime::LinearWeights WeightsOf(WeightFormat format, size_t rows, size_t width, size_t block) {
  runtime::LinearWeights weights;
  weights.format = format;
  weights.out_features = rows;
  weights.in_features = width;
  weights.block_size = block;
  REQUIRE(runtime::FindLayout("weight", &weights).ok());
  return weights;
}

// Packed bytes without those of rows that a last tile has beyond the matrix's: nobody reads what is
// computed of them.
std::vector<uint8_t> OfRows(const runtime::LinearWeights& weights, const runtime::CodeTile& tile,
                            std::vector<uint8_t> packed) {
  const auto row_bytes = static_cast<size_t>(weights.row_bytes);
  const size_t words = tile.rows * sizeof(uint32_t);
  for (size_t i = 0; i < packed.size(); ++i) {
    const size_t at = i % (tile.rows * row_bytes);
    const bool is_code = at >= words && at < tile.rows * row_bytes - 2 * words;
    const size_t in_tile = is_code ? (at - words) % (tile.rows * tile.depth) / tile.depth
                                   : (at - words * (at / words)) / sizeof(uint32_t);
    const size_t row = i / (tile.rows * row_bytes) * tile.rows + in_tile;
    if (weights.block_size == 0 && row >= weights.out_features) packed[i] = 0;
  }
  return packed;
}

TEST_SUITE("runtime/row_patcher") {
  TEST_CASE("there and back, rows have the bytes of those that are packed anew") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::mt19937 random(5);
    int patched = 0;
    struct Stored {
      WeightFormat format;
      size_t block;
    };
    for (const Stored& stored :
         {Stored{WeightFormat::kInt8Channel, 0}, Stored{WeightFormat::kInt4Channel, 0},
          Stored{WeightFormat::kInt4Block, 32}, Stored{WeightFormat::kInt4Block, 64}}) {
      const size_t block = stored.block;
      for (const size_t rows : {64, 75, 131}) {
        const runtime::LinearWeights weights = WeightsOf(stored.format, rows, 192, block);
        const auto tile = runtime::FindCodeTile("weight", weights);
        REQUIRE(tile.ok());
        CAPTURE(static_cast<int>(stored.format));
        CAPTURE(rows);
        // What we pack ourselves, but for tiles of four rows, can be patched.
        if (weights.block_tile.rows >= 8) CHECK(tile->rows == weights.block_tile.rows);
        if (tile->rows == 0) continue;
        ++patched;
        const uint32_t first = 1000;
        Differences codes, scales[2];
        const Matrix from = RandomMatrix(weights, random);
        const Matrix to = Change(weights, from, first, random, &codes, &scales);
        const std::vector<uint8_t> packed_from = from.Packed(weights);
        std::vector<uint8_t> packed = packed_from;
        std::vector<uint32_t> room;
        for (const bool is_taken_back : {false, true}) {
          runtime::RowPatcher patcher(weights, *tile, rows, packed.data(), &room);
          patcher.ChangeCodes({codes, first, 0, is_taken_back});
          for (uint32_t plane = 0; block != 0 && plane < 2; ++plane) {
            CHECK(patcher.ChangeScales({scales[plane], first, plane, is_taken_back}));
          }
          const Matrix& now = is_taken_back ? from : to;
          CHECK(patcher.Finish(now.bias.data(), now.scales.data()));
          CHECK(OfRows(weights, *tile, packed) == OfRows(weights, *tile, now.Packed(weights)));
        }
        CHECK(packed == packed_from);
      }
    }
    MESSAGE(patched << " matrices patched");
  }

  TEST_CASE("scales that are not packed as a sixteenth are left to those who pack anew") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::mt19937 random(5);
    const runtime::LinearWeights weights = WeightsOf(WeightFormat::kInt4Block, 64, 64, 32);
    const auto tile = runtime::FindCodeTile("weight", weights);
    REQUIRE(tile.ok());
    if (tile->rows == 0) return;
    const Matrix matrix = RandomMatrix(weights, random);
    std::vector<uint32_t> room;
    constexpr size_t kPlace = 77, kScale = kPlace * sizeof(uint16_t);
    uint16_t scale;
    std::memcpy(&scale, &matrix.scales[kScale], sizeof(scale));
    // The scale of one block becomes another one.
    const auto change = [&](unsigned wanted, runtime::RowPatcher* patcher) {
      for (uint32_t plane = 0; plane < 2; ++plane) {
        Differences some;
        Add(kPlace, (wanted - scale) >> (8 * plane), &some);
        static_cast<void>(patcher->ChangeScales({some, 0, plane, false}));
      }
    };
    for (const unsigned bad : {0x0000, 0x0001, 0x0080, 0x027F, 0x7F80, 0x7FC0, 0x8000, 0xBF80}) {
      CAPTURE(bad);
      std::vector<uint8_t> packed = matrix.Packed(weights);
      runtime::RowPatcher patcher(weights, *tile, 64, packed.data(), &room);
      change(bad, &patcher);
      CHECK_FALSE(patcher.Finish(nullptr, nullptr));
      // Nor is it known what was there before.
      Differences one;
      Add(kPlace, 1, &one);
      CHECK_FALSE(patcher.ChangeScales({one, 0, 0, false}));
    }
    for (const unsigned good : {0x0280, 0x7F7F}) {
      Matrix wanted = matrix;
      const auto good_scale = static_cast<uint16_t>(good);
      std::memcpy(&wanted.scales[kScale], &good_scale, sizeof(good_scale));
      std::vector<uint8_t> packed = matrix.Packed(weights);
      runtime::RowPatcher patcher(weights, *tile, 64, packed.data(), &room);
      change(good, &patcher);
      CHECK(patcher.Finish(matrix.bias.data(), nullptr));
      CHECK(packed == wanted.Packed(weights));
    }
  }
}

}  // namespace
}  // namespace graft::test
