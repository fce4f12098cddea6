// SPDX-License-Identifier: Apache-2.0
// Ops that keep states: what the file may say of them, and each way in which it may not.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

// The numbers of a graph with one op of each kind, which a test can spoil.
struct States {
  uint32_t convolution_rows = 2, convolution_width = 6;
  int64_t kernel = 3, convolved = 18;
  int32_t convolution = 0, rule = 1, scan = 2, recurrence = 3;
  uint32_t key_heads = 1, value_heads = 2, key_dim = 2, value_dim = 1, rule_rows = 4;
  float epsilon = 1e-6f;
  uint32_t heads = 3, head_dim = 2, groups = 1, state_dim = 4, scan_width = 6;
  int64_t scan_rates = 3;
  float step_low = 0.0f, step_high = 1.0f;
  uint32_t blocks = 2;
  int64_t gate_weights = 18;
  bool without_tokens = false;
};

Status Check(const States& s) {
  ModelBuilder model;
  auto& b = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const auto others = Symbolic(model.Symbol("others"));
  const int32_t ids = model.Input("ids", {tokens}, fb::InputRole::TokenIds);
  const std::vector<float> numbers(256, 0.5f);
  int named = 0;
  const auto tensor = [&](std::vector<int64_t> shape) {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;
    return model.FloatTensor("tensor" + std::to_string(named++), std::move(shape),
                             std::span(numbers).first(static_cast<size_t>(elements)));
  };
  const auto rows = [&](int64_t width) {
    const std::string name = "value" + std::to_string(named++);
    if (s.without_tokens) {
      return model.Input(name, {others, Fixed(width)}, fb::InputRole::Tensor,
                         fb::ElementType::Float32);
    }
    const int32_t table = tensor({5, width});
    const int32_t value = model.Value(name, {tokens, Fixed(width)});
    model.Op(name, {ids}, {value}, fb::OpAttributes::Embedding,
             fb::CreateEmbedding(b, table).Union());
    return value;
  };
  const auto out = [&](int64_t width) {
    const int32_t value = model.Value("out" + std::to_string(named++),
                                      {s.without_tokens ? others : tokens, Fixed(width)});
    model.Output(value);
    return value;
  };
  model.State(s.convolution_rows, s.convolution_width);
  model.State(s.rule_rows, 1);
  model.State(4, s.scan_width);
  model.State(1, 6);

  model.Op("convolution", {rows(s.convolved)}, {out(6)}, fb::OpAttributes::ShortConvolution,
           fb::CreateShortConvolution(b, tensor({s.kernel, 6}), tensor({6}), true, s.convolution)
               .Union());
  model.Op("rule", {rows(6), rows(2), rows(2)}, {out(2)}, fb::OpAttributes::GatedDeltaRule,
           fb::CreateGatedDeltaRule(b, s.key_heads, s.value_heads, s.key_dim, s.value_dim,
                                    tensor({2}), tensor({2}), s.epsilon, s.rule)
               .Union());
  model.Op(
      "scan", {rows(14), rows(3)}, {out(6)}, fb::OpAttributes::SelectiveScan,
      fb::CreateSelectiveScan(b, s.heads, s.head_dim, s.groups, s.state_dim, tensor({s.scan_rates}),
                              tensor({3}), -1, s.step_low, s.step_high, s.scan)
          .Union());
  model.Op("recurrence", {rows(6)}, {out(6)}, fb::OpAttributes::GatedRecurrence,
           fb::CreateGatedRecurrence(b, s.blocks, tensor({s.gate_weights}), tensor({6}),
                                     tensor({18}), tensor({6}), tensor({6}), s.recurrence)
               .Union());
  return Verify(model.Finish().span()).status();
}

#define CHECK_REFUSED(needle, ...)                                                 \
  do {                                                                             \
    States states;                                                                 \
    [](States& s) { __VA_ARGS__; }(states);                                        \
    const Status status = Check(states);                                           \
    CHECK_MESSAGE(std::string(status.message()).find(needle) != std::string::npos, \
                  std::string(status.message()));                                  \
  } while (false)

TEST_SUITE("schema/states") {
  TEST_CASE("a graph that keeps states is accepted") {
    const Status status = Check({});
    CHECK_MESSAGE(status.ok(), std::string(status.message()));
  }

  TEST_CASE("states that no op's numbers fit are refused") {
    CHECK_REFUSED("its state is [3, 6]", s.convolution_rows = 3);
    CHECK_REFUSED("its state is [2, 7]", s.convolution_width = 7);
    CHECK_REFUSED("its state is [5, 1]", s.rule_rows = 5);
    CHECK_REFUSED("its state is [4, 7]", s.scan_width = 7);
    CHECK_REFUSED("state 0 (state0) is [0, 6]", s.convolution_rows = 0);
    CHECK_REFUSED("state 0 (state0) is [2147483648, 6]", s.convolution_rows = 1u << 31);
    CHECK_REFUSED("keeps state 4 of 4", s.recurrence = 4);
    CHECK_REFUSED("keeps state -2 of 4", s.recurrence = -2);
    CHECK_REFUSED("has 1 inputs and 1 outputs; it needs 2 and 1", s.recurrence = -1);
    CHECK_REFUSED("keeps state 0, which another op keeps", {
      s.recurrence = 0;
      s.convolution_rows = 1;
      s.kernel = 2;
    });
    CHECK_REFUSED("one row for each token", s.without_tokens = true);
  }

  TEST_CASE("numbers of the ops themselves that do not fit are refused") {
    CHECK_REFUSED("f32 [2 to", s.kernel = 1);
    CHECK_REFUSED("a width of 18, it has 17", s.convolved = 17);
    CHECK_REFUSED("not a multiple of its 3 key heads", s.key_heads = 3);
    CHECK_REFUSED("a size of 0", s.key_heads = 0);
    CHECK_REFUSED("a size of 4294967295", s.value_heads = UINT32_MAX);
    CHECK_REFUSED("a size of 0", s.key_dim = 0);
    CHECK_REFUSED("keeps [8, 1]", s.key_dim = 4);
    CHECK_REFUSED("epsilon", s.epsilon = 0.0f);
    CHECK_REFUSED("a size of 65537", s.state_dim = 65537);
    CHECK_REFUSED("not a multiple of its 2 groups", s.groups = 2);
    CHECK_REFUSED("has 4 rates for 3 heads of 4", s.scan_rates = 4);
    CHECK_REFUSED("steps of", s.step_low = 2.0f);
    CHECK_REFUSED("steps of", s.step_low = -1.0f);
    CHECK_REFUSED("4 blocks of 6 columns", s.blocks = 4);
    CHECK_REFUSED("0 blocks of 6 columns", s.blocks = 0);
    CHECK_REFUSED("input_weight", s.gate_weights = 17);
  }
}

}  // namespace
}  // namespace graft::schema
