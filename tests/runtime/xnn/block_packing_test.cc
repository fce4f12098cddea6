// SPDX-License-Identifier: Apache-2.0
// Our packing of int4 blocks against XNNPACK's own: the same bytes, tile remainders included.
#include "runtime/xnn/block_packing.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/base/page_memory.h"
#include "runtime/xnn/linear_operator.h"
#include "runtime/xnn/pack_rows.h"

namespace graft::test {
namespace {

TEST_SUITE("runtime/block_packing") {
  TEST_CASE("packed bytes equal those of XNNPACK wherever ours are used") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::mt19937 random(3);
    int compared = 0;
    for (const size_t block : {32, 64, 128, 256}) {
      for (const size_t rows : {64, 65, 71, 131, 512}) {
        for (const bool with_bias : {false, true}) {
          runtime::LinearWeights weights;
          weights.format = runtime::WeightFormat::kInt4Block;
          weights.out_features = rows;
          weights.in_features = 3 * block;
          weights.block_size = block;
          REQUIRE(runtime::FindLayout("weight", &weights).ok());
          const size_t tile = weights.block_tile.rows;
          if (tile == 0) continue;  // another order of columns on this CPU
          ++compared;
          std::vector<uint8_t> codes(rows * weights.in_features / 2);
          std::vector<uint16_t> scales(rows * 3);
          std::vector<float> bias(rows);
          for (uint8_t& code : codes) code = static_cast<uint8_t>(random());
          for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x3000 + random() % 0x1000);
          for (float& value : bias) value = static_cast<float>(random() % 1000) - 500.0f;
          runtime::StoredMatrix matrix;
          matrix.format = weights.format;
          matrix.rows = rows;
          matrix.width = weights.in_features;
          matrix.block_size = block;
          matrix.data = codes.data();
          matrix.scales = reinterpret_cast<const uint8_t*>(scales.data());
          const auto pack = [&](const runtime::LinearWeights& how) {
            std::vector<uint8_t> packed(weights.packed_bytes, 0xEE);
            const Status status = runtime::PackRows(
                "weight", how, matrix, with_bias ? bias.data() : nullptr, 0, rows, packed.data());
            REQUIRE(status.ok());
            // What is left behind the last tile, where the size was rounded up, nobody reads.
            const size_t tiles = (rows + tile - 1) / tile;
            packed.resize(tiles * tile * runtime::BlockRowBytes(weights.in_features, block));
            REQUIRE(packed.size() <= weights.packed_bytes);
            return packed;
          };
          runtime::LinearWeights theirs = weights;
          theirs.block_tile = {};
          CAPTURE(block);
          CAPTURE(rows);
          CHECK(pack(weights) == pack(theirs));
        }
      }
    }
    MESSAGE(compared << " matrices compared");
  }

  TEST_CASE("products of packed blocks are XNNPACK's to the last bit on 64-bit ARM") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::mt19937 random(5);
    for (const size_t block : {32, 64, 256}) {
      for (const size_t columns : {64, 69, 83}) {
        runtime::LinearWeights ours;
        ours.format = runtime::WeightFormat::kInt4Block;
        ours.out_features = columns;
        ours.in_features = 9 * block;  // several passes of the widest
        ours.block_size = block;
        REQUIRE(runtime::FindLayout("weight", &ours).ok());
        if (!runtime::PrefersBlockProduct(ours.block_tile, ours.in_features, block)) return;
        std::vector<uint8_t> codes(columns * ours.in_features / 2);
        std::vector<uint16_t> scales(columns * 9);
        std::vector<float> bias(columns);
        for (uint8_t& code : codes) code = static_cast<uint8_t>(random());
        for (uint16_t& scale : scales) scale = static_cast<uint16_t>(0x3C00 + random() % 0x180);
        for (float& value : bias) value = static_cast<float>(random() % 1000) / 100 - 5;
        runtime::StoredMatrix matrix = {
            ours.format, columns,      ours.in_features,
            block,       codes.data(), reinterpret_cast<const uint8_t*>(scales.data())};
        auto pages = runtime::PageMemory::Allocate(ours.packed_bytes + runtime::kReadableTailBytes,
                                                   "packed weights");
        REQUIRE(pages.ok());
        const runtime::PageMemory packed = std::move(pages).value();
        REQUIRE(
            runtime::PackRows("weight", ours, matrix, bias.data(), 0, columns, packed.data()).ok());
        ours.packed = packed.data();
        runtime::LinearWeights theirs = ours;
        theirs.block_tile = {};
        for (const size_t rows : {1, 2, 3, 4, 5, 7, 13, 26}) {
          std::vector<int8_t> x(rows * ours.in_features + runtime::kReadableTailBytes);
          std::vector<runtime::RowQuantization> quantization(rows + runtime::kExtraQuantizations);
          for (int8_t& code : x) code = static_cast<int8_t>(random());
          for (auto& of_row : quantization)
            of_row = {static_cast<int32_t>(random() % 256) - 128, 0.01f};
          // As the op Quantize leaves them.
          std::fill(quantization.begin() + static_cast<ptrdiff_t>(rows), quantization.end(),
                    quantization[rows - 1]);
          const auto multiply = [&](const runtime::LinearWeights& weights) {
            std::vector<float> output(rows * columns, 1e9f);
            runtime::LinearOperator op;
            const std::vector<uint16_t> ones(columns * 9, 0x3F80);
            REQUIRE(op.Create("weight", weights, 0, columns, ones.data()).ok());
            REQUIRE(op.Prepare(rows, x.data(), quantization.data(), output.data()).ok());
            REQUIRE(op.Run().ok());
            return output;
          };
          CAPTURE(block);
          CAPTURE(columns);
          CAPTURE(rows);
          const std::vector<float> expected = multiply(theirs);
          const std::vector<float> output = multiply(ours);
#if defined(__aarch64__)
          CHECK(std::memcmp(output.data(), expected.data(), output.size() * sizeof(float)) == 0);
#else
          CHECK(output.size() == expected.size());  // other kernels add up in another order
#endif
        }
      }
    }
  }

  TEST_CASE("a scale that is not positive and normal is refused") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::vector<uint16_t> scales(64, 0x3F80);
    const std::vector<uint8_t> codes(64 * 16, 0x5A);
    runtime::BlockRows rows = {codes.data(), scales.data(), nullptr, 64, 32, 32};
    CHECK(runtime::CanPackScales(rows));
    for (const uint16_t bad : {0x0000, 0x0001, 0x7F80, 0x7FC0, 0xBF80, 0x8000}) {
      scales[37] = bad;
      CHECK(!runtime::CanPackScales(rows));
      runtime::LinearWeights weights;
      weights.format = runtime::WeightFormat::kInt4Block;
      weights.out_features = 64;
      weights.in_features = weights.block_size = 32;
      REQUIRE(runtime::FindLayout("weight", &weights).ok());
      runtime::StoredMatrix matrix = {weights.format,
                                      64,
                                      32,
                                      32,
                                      codes.data(),
                                      reinterpret_cast<const uint8_t*>(scales.data())};
      std::vector<uint8_t> packed(weights.packed_bytes);
      CHECK(runtime::PackRows("weight", weights, matrix, nullptr, 0, 64, packed.data()).code() ==
            StatusCode::kCorrupt);
    }
  }
}

}  // namespace
}  // namespace graft::test
