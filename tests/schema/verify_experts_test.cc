// SPDX-License-Identifier: Apache-2.0
// What the ops of a mixture of experts are held to, each rule broken by itself.
#include <functional>
#include <limits>
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

// One mixture: scores [rows, 4] choose 2; the weight is [4 * 3, 5]. Each number can be spoiled.
struct Mixture {
  int64_t experts = 4, choices = 2, weights = 2;
  int64_t weight_rows = 12, in_features = 5, input_width = 5, products_width = 6, bias_size = 12;
  uint32_t linear_experts = 4;
  fb::RoutingKind kind = fb::RoutingKind::Softmax;
  float epsilon = 0.0f, scale = 1.0f, jitter = 0.0f;
  int64_t routing_bias = 0;  // 0: none
  bool choices_are_floats = false, choices_from_input = false, outputs_choices = false;
  int64_t sum_width = 3;
};

Status Check(const Mixture& m) {
  ModelBuilder model;
  auto& b = model.builder();
  const auto rows = Symbolic(model.Symbol("rows"));
  const int32_t scores = model.Input("scores", {rows, Fixed(m.experts)}, fb::InputRole::Tensor,
                                     fb::ElementType::Float32);
  const int32_t x = model.Input("x", {rows, Fixed(m.input_width)}, fb::InputRole::Tensor,
                                fb::ElementType::Float32);
  const int32_t given = model.Input("given", {rows, Fixed(m.choices)}, fb::InputRole::Tensor);
  const std::vector<float> numbers(static_cast<size_t>(m.weight_rows * m.in_features + 100), 0.5f);
  const auto tensor = [&](const char* name, std::vector<int64_t> shape) {
    int64_t elements = 1;
    for (const int64_t size : shape) elements *= size;
    return model.FloatTensor(name, std::move(shape),
                             std::span(numbers).first(static_cast<size_t>(elements)));
  };
  const int32_t weight = tensor("weight", {m.weight_rows, m.in_features});
  const int32_t bias = tensor("bias", {m.bias_size});
  const int32_t routing_bias = m.routing_bias == 0 ? -1 : tensor("routing_bias", {m.routing_bias});
  const int32_t weights = model.Value("weights", {rows, Fixed(m.weights)});
  const int32_t choices =
      model.Value("choices", {rows, Fixed(m.choices)},
                  m.choices_are_floats ? fb::ElementType::Float32 : fb::ElementType::Int32);
  const int32_t products = model.Value("products", {rows, Fixed(m.products_width)});
  const int32_t sum = model.Value("sum", {rows, Fixed(m.sum_width)});
  model.Op("route", {scores}, {weights, choices}, fb::OpAttributes::Route,
           fb::CreateRoute(b, m.kind, routing_bias, true, m.epsilon, m.scale, m.jitter).Union());
  model.Op("linear", {x, m.choices_from_input ? given : choices}, {products},
           fb::OpAttributes::ExpertLinear,
           fb::CreateExpertLinear(b, weight, bias, m.linear_experts).Union());
  model.Op("sum", {products, weights}, {sum}, fb::OpAttributes::WeightedSum,
           fb::CreateWeightedSum(b).Union());
  model.Output(m.outputs_choices ? choices : sum);
  return Verify(model.Finish().span()).status();
}

TEST_SUITE("schema/experts") {
  TEST_CASE("a mixture that keeps the rules is accepted") {
    CHECK(Check({}).ok());
    CHECK(Check({.input_width = 10}).ok());  // a row for each choice
    CHECK(Check({.routing_bias = 4}).ok());
    CHECK(Check({.choices = 4, .weights = 4, .products_width = 12}).ok());
  }

  TEST_CASE("what breaks a rule is refused by name") {
    const float infinity = std::numeric_limits<float>::infinity();
    struct Case {
      Mixture mixture;
      const char* message;
    };
    const Case cases[] = {
        {{.weights = 3}, "gives 3 weights to 2 of 4 experts"},
        {{.choices = 5, .weights = 5}, "gives 5 weights to 5 of 4 experts"},
        {{.experts = 5000}, "at most 4096 experts"},
        {{.choices_are_floats = true}, "to be i32 of [rows, fixed width]"},
        {{.kind = static_cast<fb::RoutingKind>(9)}, "routes by 9"},
        {{.scale = infinity}, "not finite, or below 0"},
        {{.epsilon = -1.0f}, "not finite, or below 0"},
        {{.jitter = std::numeric_limits<float>::quiet_NaN()}, "not finite, or below 0"},
        {{.routing_bias = 3}, "to be f32 of [4]"},
        {{.kind = fb::RoutingKind::SparseMixer, .routing_bias = 4}, "mixes, and has a bias"},
        {{.choices_from_input = true}, "has 4 experts, and choices among 0"},
        {{.linear_experts = 3}, "has 3 experts, and choices among 4"},
        {{.linear_experts = 0}, "has 0 experts, and choices among 4"},
        {{.weight_rows = 13}, "its weight has 13 rows for 4 experts"},
        {{.products_width = 7}, "gives 7 numbers for 2 choices"},
        {{.input_width = 15}, "takes 15 numbers for 2 choices"},
        {{.bias_size = 11}, "to be f32 of [12]"},
        {{.outputs_choices = true}, "is not f32"},
    };
    for (const Case& test : cases) {
      CAPTURE(std::string(test.message));
      const Status status = Check(test.mixture);
      CHECK_FALSE(status.ok());
      CHECK_MESSAGE(status.message().find(test.message) != std::string_view::npos,
                    std::string(status.message()));
    }
  }
}

}  // namespace
}  // namespace graft::schema
