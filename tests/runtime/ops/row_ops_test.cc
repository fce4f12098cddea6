// SPDX-License-Identifier: Apache-2.0
// Ops that take rows apart, put them together, or measure them, against their formulas; and
// attention to what an op before it has stored.
#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

using fb::OpAttributes;

constexpr size_t kWidth = 37;
constexpr size_t kRowCounts[] = {1, 5};

double MeanSquare(const Numbers& x, size_t row) {
  double sum = 0.0;
  for (size_t k = 0; k < x.width; ++k) sum += x(row, k) * x(row, k);
  return sum / static_cast<double>(x.width);
}

// Greedy ids are not asked for: logits of all rows of `ids`.
Numbers ForwardIds(runtime::Session& session, const std::vector<int32_t>& ids, size_t width) {
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  return AsNumbers({static_cast<const float*>((*outputs)[0].data), ids.size() * width}, ids.size());
}

TEST_SUITE("runtime/row_ops") {
  TEST_CASE("columns are taken where they lie, and parts are added by their weights") {
    GraphMaker graph(21);
    auto& b = graph.builder().builder();
    const int32_t x = graph.TensorInput("x", 3 * kWidth);
    const int32_t weights = graph.TensorInput("y", 6);
    const int32_t last = graph.Any({x}, kWidth, OpAttributes::SelectColumns,
                                   fb::CreateSelectColumns(b, 2 * kWidth - 5).Union());
    graph.Output(graph.Any({x, weights, last}, kWidth, OpAttributes::WeightedSum,
                           fb::CreateWeightedSum(b, 2).Union()));
    const auto session = NewSession(graph.Open(), {});
    for (const size_t rows : kRowCounts) {
      const auto x_floats = RandomFloats(graph.random(), rows * 3 * kWidth);
      const auto y_floats = RandomFloats(graph.random(), rows * 6);
      const Numbers parts = AsNumbers(x_floats, rows);
      const Numbers factors = AsNumbers(y_floats, rows);
      Numbers expected = Numbers::Zeros(rows, kWidth);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t k = 0; k < kWidth; ++k) {
          expected(row, k) = factors(row, 5) * parts(row, 2 * kWidth - 5 + k);
          for (size_t part = 0; part < 3; ++part)
            expected(row, k) += factors(row, 2 + part) * parts(row, part * kWidth + k);
        }
      }
      const Numbers got = ForwardNumbers(*session, x_floats, 3 * kWidth, &y_floats, 6);
      CHECK(LargestDifference(got, expected) < 4e-6);
    }
  }

  TEST_CASE("gaussian_top_k keeps what lies above the row's mean and deviations") {
    for (const float deviations : {-0.5f, 0.0f, 1.6448536f}) {
      GraphMaker graph(22);
      graph.Output(
          graph.Any({graph.TensorInput("x", kWidth)}, kWidth, OpAttributes::GaussianTopK,
                    fb::CreateGaussianTopK(graph.builder().builder(), deviations).Union()));
      const auto session = NewSession(graph.Open(), {});
      for (const size_t rows : kRowCounts) {
        auto x = RandomFloats(graph.random(), rows * kWidth);
        for (float& number : x) number += 2.0f;
        Numbers expected = AsNumbers(x, rows);
        for (size_t row = 0; row < rows; ++row) {
          double mean = 0.0;
          for (size_t k = 0; k < kWidth; ++k) mean += expected(row, k) / kWidth;
          double variance = 0.0;
          for (size_t k = 0; k < kWidth; ++k)
            variance += (expected(row, k) - mean) * (expected(row, k) - mean) / kWidth;
          const double cutoff = mean + deviations * std::sqrt(variance);
          for (size_t k = 0; k < kWidth; ++k)
            expected(row, k) = std::max(expected(row, k) - cutoff, 0.0);
        }
        CHECK(LargestDifference(ForwardNumbers(*session, x, kWidth), expected) < 2e-6);
      }
    }
  }

  TEST_CASE("match_rms gives a row the size of another, from its floor on") {
    GraphMaker graph(23);
    const int32_t x_value = graph.TensorInput("x", kWidth);
    const int32_t y_value = graph.TensorInput("y", kWidth);
    graph.Output(graph.Any({x_value, y_value}, kWidth, OpAttributes::MatchRms,
                           fb::CreateMatchRms(graph.builder().builder(), 0.25f).Union()));
    const auto session = NewSession(graph.Open(), {});
    for (const double spread : {0.1, 1.0, 30.0}) {
      const auto x = RandomFloats(graph.random(), 3 * kWidth, spread);
      const auto y = RandomFloats(graph.random(), 3 * kWidth);
      Numbers expected = AsNumbers(x, 3);
      const Numbers reference = AsNumbers(y, 3);
      for (size_t row = 0; row < 3; ++row) {
        const double factor =
            std::sqrt(MeanSquare(reference, row) / std::max(MeanSquare(expected, row), 0.25));
        for (size_t k = 0; k < kWidth; ++k) expected(row, k) *= factor;
      }
      CHECK(LargestDifference(ForwardNumbers(*session, x, kWidth, &y, kWidth), expected) < 4e-6);
    }
  }

  TEST_CASE("attention without keys and values attends to what an op before it has stored") {
    const size_t head_dim = 6;
    const size_t width = 4 * head_dim;
    const std::vector<int32_t> ids = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9};
    // Once over the cache that the first attention stores into, once with keys and values of its
    // own, which are the same.
    Numbers results[2];
    for (const bool stored : {false, true}) {
      GraphMaker graph(24);
      graph.TokenInputs();
      GraphMaker::AttentionOptions options;
      options.heads = 4;
      options.kv_heads = 2;
      options.head_dim = head_dim;
      options.kv_cache = graph.builder().KvCache(2, head_dim);
      const auto weight = [&](const char* name, size_t out) {
        return graph.RandomWeight(name, fb::TensorFormat::Float32, out, width);
      };
      const int32_t x = graph.Embedding(weight("table", 11));
      const int32_t key = graph.Linear(x, weight("key", width / 2));
      const int32_t value = graph.Linear(x, weight("value", width / 2));
      const int32_t first = graph.Attention(x, key, value, options);
      const int32_t query = graph.Linear(first, weight("query", width));
      options.window = 3;
      if (stored) {
        graph.Output(graph.Any({query, graph.positions()}, width, OpAttributes::Attention,
                               fb::CreateAttention(graph.builder().builder(), 4, 2, head_dim, 1.0f,
                                                   0.0f, 3, options.kv_cache, true)
                                   .Union()));
      } else {
        options.kv_cache = graph.builder().KvCache(2, head_dim);
        graph.Output(graph.Attention(query, key, value, options));
      }
      const auto session = NewSession(graph.Open(), {.prefill_chunk = 5});
      results[stored ? 1 : 0] = ForwardIds(*session, ids, width);
    }
    CHECK(LargestDifference(results[0], results[1]) == 0.0);
  }
}

}  // namespace
}  // namespace graft::test
