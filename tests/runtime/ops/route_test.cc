// SPDX-License-Identifier: Apache-2.0
// Route and WeightedSum against plain loops in f64: which experts each row chooses, and by how much.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

using Options = GraphMaker::RouteOptions;
using fb::RoutingKind;

struct Choice {
  size_t expert;
  double weight;
};

// Each choice by a softmax over those of the others that are near the best of them.
std::vector<Choice> ReferenceMix(const std::vector<double>& scores, const Options& options) {
  std::vector<Choice> choices;
  std::vector<bool> chosen(scores.size(), false);
  for (int64_t i = 0; i < options.choices; ++i) {
    size_t best = scores.size();
    for (size_t e = 0; e < scores.size(); ++e) {
      if (!chosen[e] && (best == scores.size() || scores[e] > scores[best])) best = e;
    }
    double sum = 0.0;
    for (size_t e = 0; e < scores.size(); ++e) {
      const double size = std::max(std::fabs(scores[e]), scores[best]);
      const bool far = (scores[best] - scores[e]) / size > 2.0 * double{options.jitter};
      if (!chosen[e] && !far) sum += std::exp(scores[e] - scores[best]);
    }
    chosen[best] = true;
    choices.push_back({best, 1.0 / sum});
  }
  return choices;
}

std::vector<Choice> ReferenceRoute(const std::vector<double>& scores, const Options& options) {
  std::vector<Choice> all;
  if (options.kind == RoutingKind::SparseMixer) {
    all = ReferenceMix(scores, options);
  } else {
    double sum = 0.0;
    for (const double score : scores) sum += std::exp(score);
    for (size_t e = 0; e < scores.size(); ++e) {
      const bool soft = options.kind == RoutingKind::Softmax;
      all.push_back({e, soft ? std::exp(scores[e]) / sum : 1.0 / (1.0 + std::exp(-scores[e]))});
    }
    const auto rank = [&](const Choice& c) {
      return c.weight + (options.bias.empty() ? 0.0 : double{options.bias[c.expert]});
    };
    std::stable_sort(all.begin(), all.end(),
                     [&](const Choice& a, const Choice& b) { return rank(a) > rank(b); });
    all.resize(static_cast<size_t>(options.choices));
  }
  double sum = options.epsilon;
  for (const Choice& choice : all) sum += choice.weight;
  for (Choice& choice : all) choice.weight *= options.scale / (options.normalized ? sum : 1.0);
  return all;
}

// Of a row its weights, or the experts they are of: each expert gives its number.
class RouteModel {
 public:
  RouteModel(const Options& options, size_t experts, bool numbers)
      : graph_(3), experts_(experts), numbers_(numbers) {
    const auto routed =
        graph_.Route(graph_.TensorInput("x", static_cast<int64_t>(experts)), options);
    if (!numbers) {
      graph_.Output(routed.weights);
    } else {
      Weight weight;
      std::vector<float> floats(experts);
      for (size_t e = 0; e < experts; ++e) floats[e] = static_cast<float>(e);
      weight.numbers.rows = experts;
      weight.tensor =
          graph_.builder().FloatTensor("numbers", {static_cast<int64_t>(experts), 1}, floats);
      graph_.Output(
          graph_.ExpertLinear(graph_.TensorInput("y", 1), routed, options, experts, weight));
    }
    session_ = NewSession(graph_.Open(1), {.threads = 1});
  }

  Numbers Run(const std::vector<float>& x) const {
    const std::vector<float> ones(x.size() / experts_, 1.0f);
    return ForwardNumbers(*session_, x, experts_, numbers_ ? &ones : nullptr, 1);
  }

 private:
  GraphMaker graph_;
  size_t experts_;
  bool numbers_;
  std::unique_ptr<runtime::Session> session_;
};

void CheckRoute(const Options& options, size_t experts) {
  CAPTURE(std::string(fb::EnumNameRoutingKind(options.kind)));
  CAPTURE(experts);
  const RouteModel weights(options, experts, false);
  const RouteModel numbers(options, experts, true);
  std::mt19937 random(17);
  const size_t rows = 23;
  const std::vector<float> x = RandomFloats(random, rows * experts);
  const Numbers got = weights.Run(x);
  const Numbers chosen = numbers.Run(x);
  const auto count = static_cast<size_t>(options.choices);
  REQUIRE(got.width == count);
  REQUIRE(chosen.width == count);
  for (size_t row = 0; row < rows; ++row) {
    const auto first = x.begin() + static_cast<ptrdiff_t>(row * experts);
    const auto expected = ReferenceRoute({first, first + static_cast<ptrdiff_t>(experts)}, options);
    for (size_t i = 0; i < count; ++i) {
      CHECK(chosen(row, i) == static_cast<double>(expected[i].expert));
      CHECK(got(row, i) == doctest::Approx(expected[i].weight).epsilon(2e-6));
    }
  }
}

TEST_SUITE("runtime/route") {
  TEST_CASE("every kind of routing chooses and weighs as its reference does") {
    std::vector<float> bias = {0.3f, -0.2f, 0.0f, 0.5f, -0.5f, 0.1f, 0.2f};
    for (const int64_t choices : {1, 2, 7}) {
      CheckRoute({.kind = RoutingKind::Softmax, .choices = choices}, 7);
      CheckRoute({.kind = RoutingKind::Softmax, .choices = choices, .normalized = true}, 7);
      CheckRoute({.kind = RoutingKind::Softmax, .choices = choices, .bias = bias, .scale = 2.5f},
                 7);
      CheckRoute({.kind = RoutingKind::Sigmoid,
                  .choices = choices,
                  .bias = bias,
                  .normalized = true,
                  .epsilon = 1e-3f,
                  .scale = 0.7f},
                 7);
      CheckRoute({.kind = RoutingKind::Sigmoid, .choices = choices}, 129);
    }
    for (const float jitter : {0.01f, 0.3f, 2.0f}) {
      CheckRoute({.kind = RoutingKind::SparseMixer, .choices = 2, .jitter = jitter}, 5);
      CheckRoute({.kind = RoutingKind::SparseMixer, .choices = 3, .jitter = jitter}, 16);
    }
    CheckRoute({.kind = RoutingKind::Softmax, .choices = 1}, 1);
  }

  TEST_CASE(
      "of equal scores the earlier expert is chosen, and of none that is a number, some are") {
    const Options options = {.kind = RoutingKind::Softmax, .choices = 2};
    const RouteModel numbers(options, 4, true);
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {1, 3, 3,   3,        nan,       nan,       nan,       nan,
                                  0, 0, nan, infinity, -infinity, -infinity, -infinity, -infinity};
    const Numbers chosen = numbers.Run(x);
    CHECK(chosen(0, 0) == 1.0);
    CHECK(chosen(0, 1) == 2.0);
    for (const double expert : chosen.at) {
      CHECK(expert >= 0.0);
      CHECK(expert <= 3.0);
    }
  }

  TEST_CASE("weighted_sum adds up parts by their weights") {
    for (const size_t parts : {1, 2, 5}) {
      GraphMaker graph(4);
      const size_t width = 19;
      const int32_t x = graph.TensorInput("x", static_cast<int64_t>(parts * width));
      const int32_t y = graph.TensorInput("y", static_cast<int64_t>(parts));
      graph.Output(graph.WeightedSum(x, y, width));
      const auto session = NewSession(graph.Open(), {});
      for (const size_t rows : {1, 2, 37}) {
        const auto numbers = RandomFloats(graph.random(), rows * parts * width);
        const auto weights = RandomFloats(graph.random(), rows * parts);
        Numbers expected = Numbers::Zeros(rows, width);
        for (size_t i = 0; i < numbers.size(); ++i) {
          const size_t row = i / (parts * width);
          const size_t part = i / width % parts;
          expected(row, i % width) += double{numbers[i]} * weights[row * parts + part];
        }
        const Numbers got = ForwardNumbers(*session, numbers, parts * width, &weights, parts);
        CHECK(LargestDifference(got, expected) < 4e-6);
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
