// SPDX-License-Identifier: Apache-2.0
// What ops compute beyond their plain form: norms over heads, rows that grow with their position,
// clamps, xIELU.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

TEST_SUITE("runtime/op_variants") {
  TEST_CASE("layer_norm over groups norms each of them by itself") {
    const size_t group = 37;
    const size_t groups = 3;
    const size_t width = group * groups;
    for (const bool with_bias : {false, true}) {
      GraphMaker graph(12);
      const Weight weight = graph.RandomVector("norm", width, 1.0, 0.3);
      const Weight bias = graph.RandomVector("bias", width, 0.0, 1.0);
      graph.Output(graph.LayerNorm(graph.TensorInput("x", width), width, weight,
                                   with_bias ? &bias : nullptr, 1e-5f, group));
      const auto session = NewSession(graph.Open(), {});
      const size_t rows = 5;
      const auto x = RandomFloats(graph.random(), rows * width);
      const Numbers got = ForwardNumbers(*session, x, width);
      const Numbers all = AsNumbers(x, rows);
      for (size_t part = 0; part < groups; ++part) {
        const auto cut = [&](const Numbers& whole) {
          Numbers numbers = Numbers::Zeros(whole.rows, group);
          for (size_t row = 0; row < whole.rows; ++row) {
            for (size_t k = 0; k < group; ++k) numbers(row, k) = whole(row, part * group + k);
          }
          return numbers;
        };
        const Numbers bias_part = cut({1, width, bias.numbers.at});
        const Numbers expected = ReferenceLayerNorm(cut(all), cut({1, width, weight.numbers.at}),
                                                    with_bias ? &bias_part : nullptr, 1e-5);
        CHECK(LargestDifference(cut(got), expected) < 2e-6);
      }
    }
  }

  TEST_CASE("rope's rows grow by the logarithm of their position, in steps") {
    GraphMaker graph(13);
    graph.TokenInputs();
    const size_t head_dim = 6;
    const size_t width = 2 * head_dim;
    const float growth = 0.3f;
    const uint32_t step = 4;
    const Weight frequencies = graph.RandomVector("frequencies", 2, 0.5, 0.2);
    const Weight table = graph.RandomWeight("table", fb::TensorFormat::Float32, 11, width);
    graph.Output(graph.Rope(graph.Embedding(table), static_cast<int64_t>(width), frequencies,
                            static_cast<uint32_t>(head_dim), 4, false, 1.0f, growth, step));
    const auto session = NewSession(graph.Open(), {});
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 19; ++i) ids.push_back(i * 7 % 11);
    const std::vector<runtime::TensorView> inputs = {{"input_ids",
                                                      runtime::ElementType::kInt32,
                                                      {static_cast<int64_t>(ids.size())},
                                                      ids.data()}};
    const auto outputs = session->Forward(inputs);
    REQUIRE(outputs.ok());
    Numbers x = Numbers::Zeros(ids.size(), width);
    for (size_t row = 0; row < ids.size(); ++row) {
      for (size_t k = 0; k < width; ++k)
        x(row, k) = table.numbers(static_cast<size_t>(ids[row]), k);
    }
    Numbers expected = ReferenceRope(x, frequencies.numbers, head_dim, 4, false, 1.0);
    for (size_t row = 0; row < ids.size(); ++row) {
      const double factor =
          1.0 + growth * std::log(1.0 + std::floor(static_cast<double>(row) / step));
      for (size_t k = 0; k < width; ++k) expected(row, k) *= factor;
    }
    const auto* floats = static_cast<const float*>((*outputs)[0].data);
    CHECK(LargestDifference(AsNumbers({floats, ids.size() * width}, ids.size()), expected) < 4e-6);
  }

  TEST_CASE("clamp and xielu match their formulas") {
    const size_t width = 203;
    std::vector<float> x(width);
    for (size_t i = 0; i < width; ++i) {
      const float t = (static_cast<float>(i) - 101.0f) / 101.0f;
      x[i] = 20.0f * t * t * t;
    }
    GraphMaker clamps(14);
    clamps.Output(clamps.Clamp(clamps.TensorInput("x", width), width, -0.5f, 2.0f));
    const Numbers clamped = ForwardNumbers(*NewSession(clamps.Open(), {}), x, width);
    GraphMaker xielus(15);
    xielus.Output(xielus.Xielu(xielus.TensorInput("x", width), width, 0.7f, 0.9f, 0.4f, -1e-6f));
    const Numbers curved = ForwardNumbers(*NewSession(xielus.Open(), {}), x, width);
    for (size_t i = 0; i < width; ++i) {
      const double u = x[i];
      CAPTURE(u);
      CHECK(clamped.at[i] == std::clamp(x[i], -0.5f, 2.0f));
      const double expected = u > 0.0 ? 0.7f * u * u + 0.4f * u
                                      : 0.9f * (std::expm1(std::min(u, -1e-6)) - u) + 0.4f * u;
      CHECK(std::fabs(curved.at[i] - expected) <= 4e-7 * std::max(1.0, std::fabs(expected)));
    }
  }
}

}  // namespace
}  // namespace graft::test
