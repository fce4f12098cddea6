// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_row_ops.h"

#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

// A graph of one op over inputs of such widths, all of as many rows.
struct OneOp {
  std::vector<int64_t> inputs;
  int64_t output = 0;
  bool other_rows = false;  // of the output
};

template <class Create>
std::string Failure(const OneOp& op, fb::OpAttributes kind, Create create) {
  ModelBuilder model;
  const auto rows = Symbolic(model.Symbol("rows"));
  const auto others = Symbolic(model.Symbol("others"));
  std::vector<int32_t> values;
  for (const int64_t width : op.inputs) {
    values.push_back(model.Input("in" + std::to_string(values.size()), {rows, Fixed(width)},
                                 fb::InputRole::Tensor, fb::ElementType::Float32));
  }
  const int32_t out = model.Value("out", {op.other_rows ? others : rows, Fixed(op.output)});
  model.Op("op", values, {out}, kind, create(model.builder()).Union());
  model.Output(out);
  model.SetTask(fb::TaskKind::Tensors, 0, {});
  const test::AlignedBytes file = model.Finish();
  return std::string(Verify(file.span()).status().message());
}

void CheckRefused(const std::string& message, const std::string& needle) {
  INFO(message, " | expected: ", needle);
  CHECK(message.find(needle) != std::string::npos);
}

TEST_SUITE("schema/verify_row_ops") {
  TEST_CASE("select_columns takes columns that are there") {
    const auto failure = [](const OneOp& op, uint32_t begin) {
      return Failure(op, fb::OpAttributes::SelectColumns,
                     [&](auto& b) { return fb::CreateSelectColumns(b, begin); });
    };
    CHECK(failure({{12}, 4}, 8) == "");
    CHECK(failure({{12}, 12}, 0) == "");
    CheckRefused(failure({{12}, 4}, 9), "takes 4 columns from 9 on, of 12");
    CheckRefused(failure({{12}, 4}, 0xffffffffu), "takes 4 columns from 4294967295 on");
    CheckRefused(failure({{12}, 4, true}, 0), "as many rows");
    CheckRefused(failure({{12, 12}, 4}, 0), "has 2 inputs");
  }

  TEST_CASE("weighted_sum has a weight for each part") {
    const auto failure = [](const OneOp& op, uint32_t begin) {
      return Failure(op, fb::OpAttributes::WeightedSum,
                     [&](auto& b) { return fb::CreateWeightedSum(b, begin); });
    };
    CHECK(failure({{4, 3}, 4}, 2) == "");
    CHECK(failure({{8, 6, 4}, 4}, 3) == "");
    CheckRefused(failure({{8, 6, 4}, 4}, 4), "adds 3 parts by weights from column 4 on, of 6");
    CheckRefused(failure({{8, 6, 4}, 4}, 0xffffffffu), "from column 4294967295 on");
    CheckRefused(failure({{8, 6, 5}, 4}, 0), "adds parts of 4");
    CheckRefused(failure({{4}, 4}, 0), "has 1 inputs");
    CheckRefused(failure({{8, 6}, 4, true}, 0), "as many rows");
  }

  TEST_CASE("gaussian_top_k and match_rms need finite numbers and one shape") {
    const auto top = [](const OneOp& op, float deviations) {
      return Failure(op, fb::OpAttributes::GaussianTopK,
                     [&](auto& b) { return fb::CreateGaussianTopK(b, deviations); });
    };
    CHECK(top({{4}, 4}, -1.0f) == "");
    CheckRefused(top({{4}, 4}, 1.0f / 0.0f), "not finite");
    CheckRefused(top({{4}, 5}, 1.0f), "one shape");
    const auto match = [](const OneOp& op, float floor) {
      return Failure(op, fb::OpAttributes::MatchRms,
                     [&](auto& b) { return fb::CreateMatchRms(b, floor); });
    };
    CHECK(match({{4, 4}, 4}, 1e-5f) == "");
    CheckRefused(match({{4, 4}, 4}, 0.0f), "floor");
    CheckRefused(match({{4, 5}, 4}, 1.0f), "one shape");
    CheckRefused(match({{4}, 4}, 1.0f), "has 1 inputs");
  }

  TEST_CASE("positions are selected by output rows alone, and are no output") {
    struct Case {
      bool of_ids = false, by_ids = false, is_output = false;
      int64_t width = 0;
      const char* message = "";
    };
    for (const Case& c : {Case{}, Case{.of_ids = true, .message = "f32 of [rows, fixed width]"},
                          Case{.by_ids = true, .message = "role OutputRows"},
                          Case{.is_output = true, .message = "is not a value that an op computes"},
                          Case{.width = 2, .message = "one shape and type"}}) {
      ModelBuilder model;
      auto& b = model.builder();
      const auto rows = Symbolic(model.Symbol("rows"));
      const auto selected = Symbolic(model.Symbol("output_rows"));
      const int32_t ids = model.Input("ids", {rows}, fb::InputRole::TokenIds);
      const int32_t positions = model.Input("positions", {rows}, fb::InputRole::Positions);
      const int32_t outputs = model.Input("outputs", {selected}, fb::InputRole::OutputRows);
      model.FloatTensor("table", {2, 4}, std::vector<float>(8, 0.5f));
      model.FloatTensor("frequencies", {2}, std::vector<float>(2, 0.5f));
      const int32_t x = model.Value("x", {rows, Fixed(4)});
      const int32_t y = model.Value("y", {selected, Fixed(4)});
      const int32_t turned = model.Value("turned", {selected, Fixed(4)});
      test::ModelBuilder::Dimensions shape = {selected};
      if (c.width > 0) shape.push_back(Fixed(c.width));
      const int32_t chosen = model.Value("chosen", shape, fb::ElementType::Int32);
      model.Op("x", {ids}, {x}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, 0).Union());
      model.Op("y", {x, outputs}, {y}, fb::OpAttributes::SelectRows,
               fb::CreateSelectRows(b).Union());
      model.Op("chosen", {c.of_ids ? ids : positions, c.by_ids ? ids : outputs}, {chosen},
               fb::OpAttributes::SelectRows, fb::CreateSelectRows(b).Union());
      model.Op("rope", {y, chosen}, {turned}, fb::OpAttributes::Rope,
               fb::CreateRope(b, 1, 4, 4).Union());
      model.Output(c.is_output ? chosen : turned);
      model.SetTask(fb::TaskKind::Tensors, 0, {});
      const test::AlignedBytes file = model.Finish();
      const std::string message(Verify(file.span()).status().message());
      if (*c.message == 0) {
        CHECK(message == "");
      } else {
        CheckRefused(message, c.message);
      }
    }
  }

  TEST_CASE("attention without keys and values needs a cache that is stored into before it") {
    struct Case {
      int32_t cache = 0;
      uint32_t kv_heads = 1;
      bool stores = true, has_positions = true, causal = true;
      const char* message = "";
    };
    for (const Case& c :
         {Case{}, Case{.stores = false, .message = "which no op before it stores into"},
          Case{.cache = -1, .message = "uses kv_cache -1"},
          Case{.cache = 1, .message = "uses kv_cache 1 of 1"},
          Case{.kv_heads = 3, .message = "its kv_cache 1 of 4"},
          Case{.has_positions = false, .message = "role Positions"},
          Case{.causal = false, .message = "is not causal"}}) {
      ModelBuilder model;
      auto& b = model.builder();
      const auto rows = Symbolic(model.Symbol("rows"));
      const int32_t ids = model.Input("ids", {rows}, fb::InputRole::TokenIds);
      const int32_t positions = model.Input("positions", {rows}, fb::InputRole::Positions);
      model.FloatTensor("table", {2, 12}, std::vector<float>(24, 0.5f));
      model.FloatTensor("keys", {2, 4}, std::vector<float>(8, 0.5f));
      model.KvCache(1, 4);
      const int32_t x = model.Value("x", {rows, Fixed(12)});
      const int32_t key = model.Value("key", {rows, Fixed(4)});
      const int32_t first = model.Value("first", {rows, Fixed(12)});
      const int32_t second = model.Value("second", {rows, Fixed(12)});
      model.Op("x", {ids}, {x}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, 0).Union());
      model.Op("key", {ids}, {key}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, 1).Union());
      model.Op("first", {x, key, key, positions}, {first}, fb::OpAttributes::Attention,
               fb::CreateAttention(b, 3, 1, 4, 1.0f, 0.0f, 0, c.stores ? 0 : -1, c.stores).Union());
      model.Op("second", {first, c.has_positions ? positions : ids}, {second},
               fb::OpAttributes::Attention,
               fb::CreateAttention(b, 3, c.kv_heads, 4, 1.0f, 0.0f, 0, c.cache, c.causal).Union());
      model.Output(second);
      model.SetTask(fb::TaskKind::Tensors, 0, {});
      const test::AlignedBytes file = model.Finish();
      const std::string message(Verify(file.span()).status().message());
      if (*c.message == 0) {
        CHECK(message == "");
      } else {
        CheckRefused(message, c.message);
      }
    }
  }
}

}  // namespace
}  // namespace graft::schema
