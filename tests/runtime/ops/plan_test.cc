// SPDX-License-Identifier: Apache-2.0
// Plans of graphs with very many ops: made in time that grows with the ops, not with their square.
#include <algorithm>
#include <cstdint>
#include <ctime>
#include <string>

#include <doctest/doctest.h>

#include "runtime/model/pack_layout.h"
#include "runtime/ops/make_plan.h"
#include "runtime/xnn/linear_operator.h"
#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::test {
namespace {

constexpr int64_t kWidth = 4;

// `ops` linears of one weight, each with a bias of its own if asked for. In a chain each reads what
// the one before it wrote; else all read the input.
AlignedBytes Linears(int ops, bool in_a_chain, bool own_biases) {
  ModelBuilder model;
  const auto rows = Symbolic(model.Symbol("rows"));
  int32_t last =
      model.Input("x", {rows, Fixed(kWidth)}, fb::InputRole::Tensor, fb::ElementType::Float32);
  const std::vector<float> numbers(kWidth * kWidth, 0.25f);
  const int32_t weight = model.FloatTensor("w", {kWidth, kWidth}, numbers);
  for (int i = 0; i < ops; ++i) {
    const int32_t bias =
        own_biases ? model.FloatTensor("b", {kWidth}, std::span(numbers).first(kWidth)) : -1;
    const int32_t next = model.Value("y", {rows, Fixed(kWidth)});
    model.Op("l", {in_a_chain ? last : 0}, {next}, fb::OpAttributes::Linear,
             fb::CreateLinear(model.builder(), weight, bias).Union());
    last = next;
  }
  model.Output(last);
  return model.Finish();
}

double PlanSeconds(const AlignedBytes& file, size_t steps) {
  const auto model = schema::Verify(file.span());
  REQUIRE_MESSAGE(model.ok(), std::string(model.status().message()));
  double least = 1e9;
  for (int round = 0; round < 3; ++round) {
    const std::clock_t started = std::clock();
    const runtime::Plan plan = runtime::MakePlan(*model);
    const auto layout = runtime::LayOutWeights(*model);
    least = std::min(least, static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC);
    REQUIRE(layout.ok());
    CHECK(plan.steps().size() == steps);
  }
  return least;
}

TEST_SUITE("runtime/plan") {
  TEST_CASE("sixteen times the ops take no more than some sixteen times as long") {
    REQUIRE(runtime::InitializeKernels().ok());
    constexpr int kFew = 1000;
    constexpr int kMany = 16 * kFew;
    for (const bool in_a_chain : {true, false}) {
      for (const bool own_biases : {false, true}) {
        const size_t steps = in_a_chain ? kFew : 1;
        const double few = PlanSeconds(Linears(kFew, in_a_chain, own_biases), steps);
        const double many =
            PlanSeconds(Linears(kMany, in_a_chain, own_biases), in_a_chain ? kMany : 1);
        CAPTURE(few);
        CHECK(many < 100 * std::max(few, 1e-4));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
