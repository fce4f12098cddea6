// SPDX-License-Identifier: Apache-2.0
// What is computed by position: attention by tables and in windows both ways, angles of a table, rows
// with their neighbours.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

constexpr double kTolerance = 4e-6;

// Token ids of a vocabulary of `words`, and the rows of the table that they stand for.
std::vector<int32_t> SomeIds(size_t count, size_t words) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(i * 7 % words));
  return ids;
}

Numbers RowsOf(const Numbers& table, const std::vector<int32_t>& ids) {
  Numbers rows = Numbers::Zeros(ids.size(), table.width);
  for (size_t row = 0; row < ids.size(); ++row) {
    for (size_t k = 0; k < table.width; ++k) rows(row, k) = table(static_cast<size_t>(ids[row]), k);
  }
  return rows;
}

Numbers ForwardIds(runtime::Session& session, const std::vector<int32_t>& ids) {
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), outputs.status().message());
  const runtime::TensorView& output = (*outputs)[0];
  const auto* floats = static_cast<const float*>(output.data);
  return AsNumbers({floats, ids.size() * static_cast<size_t>(output.shape[1])}, ids.size());
}

// Tables of 48 columns, for distances from -9 to 6.
GraphMaker::AttentionOptions TableOptions(GraphMaker& graph, bool queries, bool keys) {
  GraphMaker::AttentionOptions options = {.heads = 3, .kv_heads = 3, .head_dim = 5, .scale = 0.4f};
  options.causal = false;
  const size_t numbers = size_t{3} * 5 * 48;
  if (queries) options.query_table = RandomFloats(graph.random(), numbers);
  if (keys) options.key_table = RandomFloats(graph.random(), numbers);
  for (size_t i = 0; i < 16; ++i) options.columns.push_back(static_cast<float>(i * 29 % 48));
  options.columns_before = 9;
  return options;
}

TEST_SUITE("runtime/position_ops") {
  TEST_CASE("attention by position tables matches its reference, of queries, keys and both") {
    for (const int which : {1, 2, 3}) {
      for (const size_t rows : {1, 8, 75}) {
        CAPTURE(which);
        CAPTURE(rows);
        GraphMaker graph(21);
        const auto options = TableOptions(graph, (which & 1) != 0, (which & 2) != 0);
        const size_t width = 15;
        const int32_t x = graph.TensorInput("x", width);
        const int32_t y = graph.TensorInput("y", width);
        graph.Output(graph.Attention(x, y, y, options));
        const auto session = NewSession(graph.Open(), {});
        const auto queries = RandomFloats(graph.random(), rows * width);
        const auto keys = RandomFloats(graph.random(), rows * width);
        const Numbers got = ForwardNumbers(*session, queries, width, &keys, width);
        const Numbers expected = ReferenceAttention(AsNumbers(queries, rows), AsNumbers(keys, rows),
                                                    AsNumbers(keys, rows), options);
        CHECK(LargestDifference(got, expected) < kTolerance);
      }
    }
  }

  TEST_CASE("a column that the tables do not have is refused when the model is opened") {
    GraphMaker graph(22);
    auto options = TableOptions(graph, true, true);
    options.columns[3] = 48.0f;
    const int32_t x = graph.TensorInput("x", 15);
    graph.Output(graph.Attention(x, x, x, options));
    const auto model = graph.Open();
    const auto session = runtime::Session::Create(model, {});
    REQUIRE_FALSE(session.ok());
    CHECK(std::string(session.status().message()).find("tensor columns has 48 as number 3") !=
          std::string::npos);
  }

  TEST_CASE("a window both ways hides what is as far ahead as behind") {
    for (const uint32_t window : {1u, 7u, 65u}) {
      CAPTURE(window);
      GraphMaker graph(23);
      graph.TokenInputs();
      GraphMaker::AttentionOptions options = {.heads = 2, .kv_heads = 1, .head_dim = 6};
      options.causal = false;
      options.window = window;
      options.both_ways = true;
      const Weight queries = graph.RandomWeight("queries", fb::TensorFormat::Float32, 13, 12);
      const Weight keys = graph.RandomWeight("keys", fb::TensorFormat::Float32, 13, 6);
      const int32_t key = graph.Embedding(keys);
      graph.Output(graph.Attention(graph.Embedding(queries), key, key, options));
      const auto session = NewSession(graph.Open(), {});
      const std::vector<int32_t> ids = SomeIds(150, 13);
      const Numbers rows = RowsOf(keys.numbers, ids);
      const Numbers expected =
          ReferenceAttention(RowsOf(queries.numbers, ids), rows, rows, options);
      CHECK(LargestDifference(ForwardIds(*session, ids), expected) < kTolerance);
    }
  }

  TEST_CASE("rope by a table turns by its sines and cosines, and bounds positions") {
    GraphMaker graph(24);
    graph.TokenInputs();
    const Weight words = graph.RandomWeight("words", fb::TensorFormat::Float32, 13, 12);
    const Weight angles = graph.RandomWeight("angles", fb::TensorFormat::Float32, 20, 4);
    const int32_t x = graph.Embedding(words);
    auto& builder = graph.builder();
    const int32_t y = builder.Value("turned", {Symbolic(graph.Rows()), Fixed(12)});
    builder.Op("turned", {x, graph.positions()}, {y}, fb::OpAttributes::Rope,
               fb::CreateRope(builder.builder(), -1, 6, 4, /*interleaved=*/true, 2.0f, 0, 0.0f, 0,
                              angles.tensor)
                   .Union());
    graph.Output(y);
    const auto session = NewSession(graph.Open(), {});
    const std::vector<int32_t> ids = SomeIds(20, 13);
    Numbers expected = RowsOf(words.numbers, ids);
    for (size_t row = 0; row < ids.size(); ++row) {
      for (size_t head = 0; head < 12; head += 6) {
        for (size_t i = 0; i < 2; ++i) {
          const double sine = 2.0 * angles.numbers(row, i);
          const double cosine = 2.0 * angles.numbers(row, i + 2);
          double& a = expected(row, head + 2 * i);
          double& b = expected(row, head + 2 * i + 1);
          const double turned = a * cosine - b * sine;
          b = b * cosine + a * sine;
          a = turned;
        }
      }
    }
    CHECK(LargestDifference(ForwardIds(*session, ids), expected) < kTolerance);
    const std::vector<int32_t> more = SomeIds(21, 13);
    const std::vector<runtime::TensorView> inputs = {
        {"input_ids", runtime::ElementType::kInt32, {21}, more.data()}};
    CHECK_FALSE(session->Forward(inputs).ok());
  }

  TEST_CASE("row windows have each element's neighbours, and zeros outside") {
    GraphMaker graph(25);
    const int32_t x = graph.TensorInput("x", 3);
    auto& builder = graph.builder();
    const int32_t y = builder.Value("windows", {Symbolic(graph.Rows()), Fixed(12)});
    builder.Op("windows", {x}, {y}, fb::OpAttributes::RowWindows,
               fb::CreateRowWindows(builder.builder(), 2, 1).Union());
    graph.Output(y);
    const auto session = NewSession(graph.Open(), {});
    for (const size_t rows : {1, 2, 9}) {
      const auto numbers = RandomFloats(graph.random(), rows * 3);
      const Numbers got = ForwardNumbers(*session, numbers, 3);
      REQUIRE(got.width == 12);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t k = 0; k < 12; ++k) {
          const size_t neighbour = row + k % 4;  // less 2
          const bool inside = neighbour >= 2 && neighbour < rows + 2;
          const double expected = inside ? double{numbers[(neighbour - 2) * 3 + k / 4]} : 0.0;
          CHECK(got(row, k) == expected);
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
