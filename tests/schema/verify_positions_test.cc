// SPDX-License-Identifier: Apache-2.0
// The rules of what ops compute from positions: tables of angles and of distances, neighbours.
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

// Two heads of 4 that are turned by a table and attend by tables, then rows with their neighbours. A
// test may spoil it.
struct Graph {
  int32_t angles = 0, frequencies = -1;
  std::vector<uint8_t> axes;
  uint32_t growth_positions = 0;
  int32_t query = 1, key = 2, columns = 3;
  uint32_t before = 2, kv_heads = 2;
  uint32_t neighbours_before = 1, neighbours_after = 2;
  int64_t windows_width = 32;
};

std::string Message(const std::function<void(Graph&)>& spoil) {
  Graph g;
  spoil(g);
  ModelBuilder model;
  auto& b = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const int32_t ids = model.Input("ids", {tokens}, fb::InputRole::TokenIds);
  const int32_t positions = model.Input("positions", {tokens}, fb::InputRole::Positions);
  const std::vector<float> numbers(8 * 24, 0.5f);
  const auto tensor = [&](const char* name, std::vector<int64_t> shape, size_t elements) {
    return model.FloatTensor(name, std::move(shape), std::span(numbers).first(elements));
  };
  tensor("angles", {7, 4}, 28);    // 0
  tensor("query", {8, 16}, 128);   // 1
  tensor("key", {8, 16}, 128);     // 2
  tensor("columns", {5}, 5);       // 3
  tensor("words", {3, 8}, 24);     // 4
  tensor("uneven", {8, 24}, 192);  // 5
  tensor("frequencies", {2}, 2);   // 6
  const int32_t x = model.Value("x", {tokens, Fixed(8)});
  const int32_t turned = model.Value("turned", {tokens, Fixed(8)});
  const int32_t attended = model.Value("attended", {tokens, Fixed(8)});
  const int32_t windows = model.Value("windows", {tokens, Fixed(g.windows_width)});
  model.Op("words", {ids}, {x}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, 4).Union());
  const auto axes =
      g.axes.empty() ? flatbuffers::Offset<flatbuffers::Vector<uint8_t>>() : b.CreateVector(g.axes);
  model.Op("rope", {x, positions}, {turned}, fb::OpAttributes::Rope,
           fb::CreateRope(b, g.frequencies, 4, 4, false, 1.0f, 0, 0.5f, g.growth_positions,
                          g.angles, axes)
               .Union());
  const auto tables = fb::CreatePositionTables(b, g.query, g.key, g.columns, g.before);
  model.Op("attention", {turned, turned, turned}, {attended}, fb::OpAttributes::Attention,
           fb::CreateAttention(b, 2, g.kv_heads, 4, 0.5f, 0.0f, 0, -1, false, -1, 1.0f, false, -1,
                               0, false, tables)
               .Union());
  model.Op("windows", {attended}, {windows}, fb::OpAttributes::RowWindows,
           fb::CreateRowWindows(b, g.neighbours_before, g.neighbours_after).Union());
  model.Output(windows);
  const test::AlignedBytes file = model.Finish();
  return std::string(Verify(file.span()).status().message());
}

#define CHECK_REFUSED(needle, ...)                                                     \
  do {                                                                                 \
    const std::string found = Message([]([[maybe_unused]] Graph& g) { __VA_ARGS__; }); \
    CHECK_MESSAGE(found.find(needle) != std::string::npos, found);                     \
  } while (false)

TEST_SUITE("schema/verify_positions") {
  TEST_CASE("accepts tables, one of the two as well") {
    CHECK(Message([](Graph&) {}).empty());
    CHECK(Message([](Graph& g) { g.query = -1; }).empty());
    CHECK(Message([](Graph& g) { g.key = -1; }).empty());
    CHECK(Message([](Graph& g) {
            g.angles = -1;
            g.frequencies = 6;
          }).empty());
    CHECK(Message([](Graph& g) {
            g.angles = -1;
            g.frequencies = 6;
            g.axes = {0, 2};
          }).empty());
  }

  TEST_CASE("frequencies have an axis each, of time, row and column") {
    CHECK_REFUSED("has 1 axes, and for that needs one of 3", g.angles = -1; g.frequencies = 6;
                  g.axes.assign(1, 1));
    CHECK_REFUSED("for each of 2 frequencies", g.angles = -1; g.frequencies = 6;
                  g.axes.assign(2, 3));
    CHECK_REFUSED("no table and no growth", g.axes.assign(2, 1));
    CHECK_REFUSED("no table and no growth", g.angles = -1; g.frequencies = 6; g.axes.assign(2, 1);
                  g.growth_positions = 4);
  }

  TEST_CASE("a rope has a table as wide as what it turns, or frequencies") {
    CHECK_REFUSED("f32 of [positions, 4], and no frequencies", g.angles = 4);
    CHECK_REFUSED("and no frequencies", g.frequencies = 6);
    CHECK_REFUSED("has tensor 9 of 7 as its table", g.angles = 9);
    CHECK_REFUSED("as its inverse_frequencies", g.angles = -1);
  }

  TEST_CASE("position tables are of the heads' width, and alike") {
    CHECK_REFUSED("needs one of the two", g.query = g.key = -1);
    CHECK_REFUSED("(words) to be f32 of [8, a multiple of 16]", g.query = 4);
    CHECK_REFUSED("(uneven) to be f32 of [8, a multiple of 16]", g.query = 5);
    CHECK_REFUSED("as its position table", g.key = 9);
    CHECK_REFUSED("as its position columns", g.columns = -1);
    CHECK_REFUSED("needs its position columns (query) to be", g.columns = 1);
    CHECK_REFUSED("has columns for 5 distances, 5 of them before", g.before = 5);
  }

  TEST_CASE("neighbours are few, and make rows as wide") {
    CHECK_REFUSED("takes 4097 rows before and 2 after", g.neighbours_before = 4097);
    CHECK_REFUSED("takes 1 rows before and 4294967295 after", g.neighbours_after = 0xffffffffu);
    CHECK_REFUSED("windows", g.windows_width = 24);
  }
}

}  // namespace
}  // namespace graft::schema
