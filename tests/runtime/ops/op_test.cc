// SPDX-License-Identifier: Apache-2.0
// Every op, alone in a graph, against its reference: at one row and at many, with sizes that fit no
// vector evenly.
#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

using fb::OpAttributes;

// f32 sums of `terms` products of numbers around 1: the error grows with the square root of their
// number.
double SumTolerance(double terms) { return 4e-7 * std::sqrt(terms) + 1e-6; }

constexpr size_t kRowCounts[] = {1, 2, 13, 67};

TEST_SUITE("runtime/ops") {
  TEST_CASE("rms_norm matches its reference, over the row and over groups") {
    for (const size_t group : {43, 7 * 43}) {
      GraphMaker graph(1);
      const size_t width = 7 * 43;
      const Weight weight = graph.RandomVector("norm", group, 1.0, 0.3);
      graph.Output(graph.RmsNorm(graph.TensorInput("x", width), width, weight, 1e-5f));
      const auto session = NewSession(graph.Open(), {});
      for (const size_t rows : kRowCounts) {
        const auto x = RandomFloats(graph.random(), rows * width);
        const Numbers expected = ReferenceRmsNorm(AsNumbers(x, rows), weight.numbers, 1e-5);
        CHECK(LargestDifference(ForwardNumbers(*session, x, width), expected) < SumTolerance(1));
      }
    }
  }

  TEST_CASE("layer_norm matches its reference, with and without bias") {
    for (const bool with_bias : {false, true}) {
      GraphMaker graph(2);
      const size_t width = 131;
      const Weight weight = graph.RandomVector("norm", width, 1.0, 0.3);
      const Weight bias = graph.RandomVector("bias", width, 0.0, 1.0);
      graph.Output(graph.LayerNorm(graph.TensorInput("x", width), width, weight,
                                   with_bias ? &bias : nullptr, 1e-5f));
      const auto session = NewSession(graph.Open(), {});
      for (const size_t rows : kRowCounts) {
        auto x = RandomFloats(graph.random(), rows * width);
        for (float& number : x) number += 3.0f;
        const Numbers expected = ReferenceLayerNorm(AsNumbers(x, rows), weight.numbers,
                                                    with_bias ? &bias.numbers : nullptr, 1e-5);
        CHECK(LargestDifference(ForwardNumbers(*session, x, width), expected) < SumTolerance(4));
      }
    }
  }

  TEST_CASE("add, multiply and gated activation match their references") {
    for (const auto kind :
         {OpAttributes::Add, OpAttributes::Multiply, OpAttributes::GatedActivation}) {
      GraphMaker graph(3);
      const size_t width = 59;
      const int32_t x_value = graph.TensorInput("x", width);
      const int32_t y_value = graph.TensorInput("y", width);
      graph.Output(graph.Binary(kind, x_value, y_value, width));
      const auto session = NewSession(graph.Open(), {});
      for (const size_t rows : kRowCounts) {
        const auto x = RandomFloats(graph.random(), rows * width);
        const auto y = RandomFloats(graph.random(), rows * width);
        Numbers expected = AsNumbers(x, rows);
        for (size_t i = 0; i < x.size(); ++i) {
          expected.at[i] = kind == OpAttributes::Add ? double{x[i]} + y[i]
                           : kind == OpAttributes::Multiply
                               ? double{x[i]} * y[i]
                               : ReferenceActivation(fb::ActivationKind::Silu, x[i]) * y[i];
        }
        CHECK(LargestDifference(ForwardNumbers(*session, x, width, &y, width), expected) < 2e-6);
      }
    }
  }

  TEST_CASE("activations match their references from far below to far above zero") {
    for (const auto kind : fb::EnumValuesActivationKind()) {
      CAPTURE(std::string(fb::EnumNameActivationKind(kind)));
      GraphMaker graph(4);
      const size_t width = 401;
      graph.Output(graph.Activation(graph.TensorInput("x", width), width, kind));
      const auto session = NewSession(graph.Open(), {});
      std::vector<float> x(width);
      // -120 to 120, denser around zero.
      for (size_t i = 0; i < width; ++i) {
        const float t = (static_cast<float>(i) - 200.0f) / 200.0f;
        x[i] = 120.0f * t * t * t;
      }
      const Numbers y = ForwardNumbers(*session, x, width);
      for (size_t i = 0; i < width; ++i) {
        const double expected = ReferenceActivation(kind, x[i]);
        CAPTURE(x[i]);
        // 3e-7 is the error of erf's approximation; the rest are a few roundings.
        const double size = std::max({1.0, std::fabs(double{x[i]}), std::fabs(expected)});
        CHECK(std::fabs(y.at[i] - expected) <= 4e-7 * size);
      }
    }
  }

  TEST_CASE("rope matches its reference: halves, pairs, part of a head, scaled") {
    struct Case {
      size_t head_dim, rotary_dim;
      bool interleaved;
      float magnitude;
    };
    for (const Case& c :
         {Case{64, 64, false, 1.0f}, Case{22, 14, false, 1.25f}, Case{26, 26, true, 1.0f}}) {
      GraphMaker graph(5);
      graph.TokenInputs();
      const size_t heads = 3;
      const size_t width = heads * c.head_dim;
      Weight frequencies = graph.RandomVector("frequencies", c.rotary_dim / 2, 0.5, 0.2);
      const Weight table = graph.RandomWeight("table", fb::TensorFormat::Float32, 31, width);
      graph.Output(graph.Rope(graph.Embedding(table), static_cast<int64_t>(width), frequencies,
                              static_cast<uint32_t>(c.head_dim),
                              static_cast<uint32_t>(c.rotary_dim), c.interleaved, c.magnitude));
      const auto session = NewSession(graph.Open(), {});
      std::vector<int32_t> ids;
      for (int32_t i = 0; i < 29; ++i) ids.push_back(i * 7 % 31);
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
      const Numbers expected = ReferenceRope(x, frequencies.numbers, c.head_dim, c.rotary_dim,
                                             c.interleaved, c.magnitude);
      const auto* floats = static_cast<const float*>((*outputs)[0].data);
      const Numbers y = AsNumbers({floats, ids.size() * width}, ids.size());
      // The angle is rounded to f32: up to 29 * 1.2 radians, half a unit in the last place of 32.
      CHECK(LargestDifference(y, expected) < 2e-6 * LargestMagnitude(x) + 1e-6);
    }
  }

  TEST_CASE("embedding reads rows of every format") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Float16,
                              fb::TensorFormat::BFloat16, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      GraphMaker graph(6);
      graph.TokenInputs();
      const size_t width = 96;
      const Weight table = graph.RandomWeight("table", format, 37, width, 32);
      graph.Output(graph.Embedding(table, 1.5f));
      const auto session = NewSession(graph.Open(), {});
      const std::vector<int32_t> ids = {36, 0, 11, 11, 5};
      const std::vector<runtime::TensorView> inputs = {
          {"input_ids", runtime::ElementType::kInt32, {5}, ids.data()}};
      const auto outputs = session->Forward(inputs);
      REQUIRE(outputs.ok());
      const auto* floats = static_cast<const float*>((*outputs)[0].data);
      for (size_t row = 0; row < ids.size(); ++row) {
        for (size_t k = 0; k < width; ++k) {
          const double expected = 1.5 * table.numbers(static_cast<size_t>(ids[row]), k);
          CHECK(floats[row * width + k] == doctest::Approx(expected).epsilon(1e-6));
        }
      }
    }
  }

  TEST_CASE("scale multiplies every number") {
    GraphMaker graph(7);
    const size_t width = 71;
    graph.Output(graph.Scale(graph.TensorInput("x", width), width, -2.75f));
    const auto session = NewSession(graph.Open(), {});
    for (const size_t rows : kRowCounts) {
      const auto x = RandomFloats(graph.random(), rows * width);
      const Numbers y = ForwardNumbers(*session, x, width);
      for (size_t i = 0; i < x.size(); ++i) CHECK(y.at[i] == double{x[i] * -2.75f});
    }
  }

  TEST_CASE("an embedding of positions counts rows from 0, and bounds the context") {
    GraphMaker graph(8);
    graph.TokenInputs();
    const size_t width = 24;
    const Weight tokens = graph.RandomWeight("tokens", fb::TensorFormat::Float32, 5, width);
    const Weight places = graph.RandomWeight("places", fb::TensorFormat::Float32, 9, width);
    graph.Output(graph.Binary(OpAttributes::Add, graph.Embedding(tokens),
                              graph.PositionEmbedding(places), static_cast<int64_t>(width)));
    const auto model = graph.Open();
    CHECK(model->vocabulary() == 5);
    CHECK(model->verified().facts().positions == 9);
    const auto session = NewSession(model, {});
    CHECK(session->context_tokens() == 9);
    const auto run = [&](const std::vector<int32_t>& ids) {
      const std::vector<runtime::TensorView> inputs = {{"input_ids",
                                                        runtime::ElementType::kInt32,
                                                        {static_cast<int64_t>(ids.size())},
                                                        ids.data()}};
      return session->Forward(inputs);
    };
    const std::vector<int32_t> ids = {4, 0, 4, 1, 2, 3, 0, 0, 1};
    const auto outputs = run(ids);
    REQUIRE(outputs.ok());
    const auto* floats = static_cast<const float*>((*outputs)[0].data);
    for (size_t row = 0; row < ids.size(); ++row) {
      for (size_t k = 0; k < width; ++k) {
        CHECK(floats[row * width + k] ==
              doctest::Approx(tokens.numbers(static_cast<size_t>(ids[row]), k) +
                              places.numbers(row, k)));
      }
    }
    const auto longer = run(std::vector<int32_t>(10, 0));
    CHECK(longer.status().code() == StatusCode::kOutOfRange);
    CHECK(std::string(longer.status().message()).find("positions for 9") != std::string::npos);
    const auto wide = runtime::Session::Create(model, {.context_tokens = 10});
    CHECK(wide.status().code() == StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace graft::test
