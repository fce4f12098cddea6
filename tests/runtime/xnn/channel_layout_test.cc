// SPDX-License-Identifier: Apache-2.0
// Products of many rows and weights with a scale for each output, against XNNPACK's of one row and
// sums in whole numbers.
#include "runtime/xnn/channel_layout.h"

#include <algorithm>
#include <cmath>
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

using runtime::WeightFormat;

struct Channels {
  Channels(WeightFormat format, size_t columns, size_t width, std::mt19937& random)
      : data(columns * (format == WeightFormat::kInt4Channel ? width / 2 : width)),
        scales(columns),
        bias(columns) {
    weights.format = format;
    weights.out_features = columns;
    weights.in_features = width;
    for (uint8_t& code : data) code = static_cast<uint8_t>(random());
    for (float& scale : scales) scale = static_cast<float>(1 + random() % 1000) / 4096;
    for (float& value : bias) value = static_cast<float>(random() % 1000) / 100 - 5;
    REQUIRE(runtime::FindLayout("weight", &weights).ok());
    auto pages = runtime::PageMemory::Allocate(weights.packed_bytes + runtime::kReadableTailBytes,
                                               "packed weights");
    REQUIRE(pages.ok());
    packed = std::move(pages).value();
    const runtime::StoredMatrix matrix = {
        format, columns, width, 0, data.data(), reinterpret_cast<const uint8_t*>(scales.data())};
    REQUIRE(
        runtime::PackRows("weight", weights, matrix, bias.data(), 0, columns, packed.data()).ok());
    weights.packed = packed.data();
  }

  int WeightAt(size_t column, size_t k) const {
    const size_t at = column * weights.in_features + k;
    if (weights.format == WeightFormat::kInt8Channel) return static_cast<int8_t>(data[at]);
    return (at % 2 == 0 ? data[at / 2] & 15 : data[at / 2] >> 4) - 8;
  }

  std::vector<float> Multiply(const std::vector<int8_t>& x,
                              const std::vector<runtime::RowQuantization>& quantization,
                              size_t rows, const runtime::OutputBounds& bounds) const {
    std::vector<float> output(rows * weights.out_features, 1e9f);
    runtime::LinearOperator op;
    REQUIRE(op.Create("weight", weights, 0, weights.out_features, nullptr, bounds).ok());
    REQUIRE(op.Prepare(rows, x.data(), quantization.data(), output.data()).ok());
    REQUIRE(op.Run().ok());
    return output;
  }

  runtime::LinearWeights weights;
  std::vector<uint8_t> data;
  std::vector<float> scales;
  std::vector<float> bias;
  runtime::PageMemory packed;
};

// Bounds that nothing reaches: with any, XNNPACK multiplies.
runtime::OutputBounds FarBounds() { return {-1e30f, 1e30f}; }

TEST_SUITE("runtime/channel_layout") {
  TEST_CASE(
      "rows of products with a scale for each output have the bits of XNNPACK's kernel for one") {
    REQUIRE(runtime::InitializeKernels().ok());
    std::mt19937 random(7);
    int ours = 0;
    for (const WeightFormat format : {WeightFormat::kInt8Channel, WeightFormat::kInt4Channel}) {
      for (const size_t width : {32, 96, 2176, 40}) {
        for (const size_t columns : {64, 75}) {
          const Channels m(format, columns, width, random);
          const auto tile = runtime::FindChannelTile("weight", m.weights);
          REQUIRE(tile.ok());
          ours += tile.value().rows != 0;
          for (const size_t rows : {1, 3, 4, 7, 8, 13}) {
            if (width == 2176 && rows != 7) continue;
            std::vector<int8_t> x(rows * width + runtime::kReadableTailBytes);
            std::vector<runtime::RowQuantization> quantization(rows + runtime::kExtraQuantizations);
            for (int8_t& code : x) code = static_cast<int8_t>(random());
            for (auto& of_row : quantization)
              of_row = {static_cast<int32_t>(random() % 256) - 128, 0.01f};
            std::fill(quantization.begin() + static_cast<ptrdiff_t>(rows), quantization.end(),
                      quantization[rows - 1]);
            const std::vector<float> output = m.Multiply(x, quantization, rows, {});
            // XNNPACK's kernels for many rows do not all round as those for one do.
            size_t other = 0;
            for (size_t row = 0; row < rows; ++row) {
              const std::vector<int8_t> codes(x.begin() + static_cast<ptrdiff_t>(row * width),
                                              x.end());
              const std::vector<runtime::RowQuantization> of_row(1 + runtime::kExtraQuantizations,
                                                                 quantization[row]);
              const std::vector<float> alone = m.Multiply(codes, of_row, 1, FarBounds());
              other +=
                  std::memcmp(alone.data(), &output[row * columns], columns * sizeof(float)) != 0;
            }
            CAPTURE(width);
            CAPTURE(columns);
            CAPTURE(rows);
            if (tile.value().rows != 0) CHECK(other == 0);
            double worst = 0;
            for (size_t i = 0; i < output.size(); ++i) {
              const size_t row = i / columns, column = i % columns;
              int64_t sum = 0;
              for (size_t k = 0; k < width; ++k) {
                sum += m.WeightAt(column, k) *
                       int64_t{x[row * width + k] - quantization[row].zero_point};
              }
              const double expected =
                  static_cast<double>(sum) * quantization[row].scale * m.scales[column] +
                  m.bias[column];
              worst = std::max(worst, std::fabs(output[i] - expected) / (1 + std::fabs(expected)));
            }
            CHECK(worst < 1e-5);
          }
        }
      }
    }
    MESSAGE(ours << " matrices went through a kernel of ours");
  }
}

}  // namespace
}  // namespace graft::test
