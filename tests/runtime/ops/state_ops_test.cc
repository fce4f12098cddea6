// SPDX-License-Identifier: Apache-2.0
// Ops that keep a state, each alone in a graph, against their formulas in double precision: with
// their rows in chunks of any size, and with sizes that fit no vector evenly.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/graph_maker.h"

namespace graft::test {
namespace {

constexpr int32_t kVocabulary = 23;
constexpr size_t kRows = 19;

double Softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

std::vector<int32_t> SomeIds() {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < kRows; ++i) ids.push_back(static_cast<int32_t>(i * 7 % kVocabulary));
  return ids;
}

// A graph whose inputs are rows of random tables by token: of one text that goes on from call to
// call, or of several that begin anew.
class StateGraph {
 public:
  StateGraph(uint32_t seed, bool by_texts) : graph_(seed) {
    const auto rows = Symbolic(graph_.Rows());
    ids_ = graph_.builder().Input("input_ids", {rows}, fb::InputRole::TokenIds);
    if (!by_texts) return;
    const auto texts = Symbolic(graph_.builder().Symbol("texts"));
    text_ends_ = graph_.builder().Input("text_ends", {texts}, fb::InputRole::TextEnds);
  }

  GraphMaker& graph() { return graph_; }
  flatbuffers::FlatBufferBuilder& buffer() { return graph_.builder().builder(); }

  struct Input {
    int32_t value = -1;
    Numbers rows;
  };
  Input Rows(size_t width) {
    const Weight table = graph_.RandomWeight("table", fb::TensorFormat::Float32,
                                             static_cast<size_t>(kVocabulary), width);
    Input input = {Value(width), Numbers::Zeros(kRows, width)};
    graph_.builder().Op("rows", {ids_}, {input.value}, fb::OpAttributes::Embedding,
                        fb::CreateEmbedding(buffer(), table.tensor).Union());
    const std::vector<int32_t> ids = SomeIds();
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t i = 0; i < width; ++i)
        input.rows(row, i) = table.numbers(static_cast<size_t>(ids[row]), i);
    }
    return input;
  }

  int32_t State(size_t rows, size_t width) {
    if (text_ends_ >= 0) return -1;
    return graph_.builder().State(static_cast<uint32_t>(rows), static_cast<uint32_t>(width));
  }

  void Add(std::vector<int32_t> inputs, size_t width, fb::OpAttributes kind,
           flatbuffers::Offset<void> attributes) {
    const int32_t out = Value(width);
    if (text_ends_ >= 0) inputs.push_back(text_ends_);
    graph_.builder().Op("op", std::move(inputs), {out}, kind, attributes);
    graph_.Output(out);
  }

  // Largest error over chunks of several sizes, and when it runs a second time.
  double Error(const Numbers& expected) {
    const auto model = graph_.Open();
    std::vector<int32_t> ids = SomeIds();
    std::vector<int64_t> shape = {kRows};
    size_t texts = 1;
    if (text_ends_ >= 0) {
      texts = 2;
      const std::vector<int32_t> again = ids;
      ids.insert(ids.end(), again.begin(), again.end());
      shape.insert(shape.begin(), 2);
    }
    double error = 0.0;
    for (const uint32_t chunk : {1u, 5u, 64u}) {
      const auto session = NewSession(model, {.threads = 2, .prefill_chunk = chunk});
      for (int time = 0; time < 2; ++time) {
        const std::vector<runtime::TensorView> inputs = {
            {"input_ids", runtime::ElementType::kInt32, shape, ids.data()}};
        const auto outputs = session->Forward(inputs);
        REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
        const auto* floats = static_cast<const float*>((*outputs)[0].data);
        for (size_t i = 0; i < texts * expected.at.size(); ++i) {
          const double wanted = expected.at[i % expected.at.size()];
          error = std::max(error, std::abs(double{floats[i]} - wanted));
        }
      }
    }
    return error;
  }

 private:
  int32_t Value(size_t width) {
    return graph_.builder().Value("value" + std::to_string(values_++),
                                  {Symbolic(graph_.Rows()), Fixed(static_cast<int64_t>(width))});
  }

  GraphMaker graph_;
  int32_t ids_ = -1;
  int32_t text_ends_ = -1;
  int values_ = 0;
};

TEST_SUITE("runtime/state_ops") {
  TEST_CASE("short_convolution is its sum over the last rows, gated or not, with bias or without") {
    for (const bool gated : {false, true}) {
      for (const size_t kernel : {2, 3, 4, 5}) {
        const bool by_texts = kernel != 2;
        CAPTURE(gated);
        CAPTURE(kernel);
        const size_t width = 37;
        StateGraph g(11, by_texts);
        const auto x = g.Rows(gated ? 3 * width : width);
        const Weight weight =
            g.graph().RandomWeight("weight", fb::TensorFormat::Float32, kernel, width);
        const Weight bias = g.graph().RandomVector("bias", width, 0.0, 1.0);
        const bool biased = kernel != 3;
        g.Add({x.value}, width, fb::OpAttributes::ShortConvolution,
              fb::CreateShortConvolution(g.buffer(), weight.tensor, biased ? bias.tensor : -1,
                                         gated, g.State(kernel - 1, width))
                  .Union());
        Numbers expected = Numbers::Zeros(kRows, width);
        for (size_t row = 0; row < kRows; ++row) {
          for (size_t i = 0; i < width; ++i) {
            double sum = biased ? bias.numbers.at[i] : 0.0;
            for (size_t j = 0; j < kernel; ++j) {
              if (row + j + 1 < kernel) continue;
              const size_t from = row + j + 1 - kernel;
              const double u =
                  gated ? x.rows(from, i) * x.rows(from, 2 * width + i) : x.rows(from, i);
              sum += weight.numbers(j, i) * u;
            }
            expected(row, i) = gated ? sum * x.rows(row, width + i) : sum;
          }
        }
        CHECK(g.Error(expected) < 1e-5);
      }
    }
  }

  TEST_CASE("gated_delta_rule is its recurrence, with key heads that value heads share") {
    struct Case {
      size_t key_heads, value_heads, key_dim, value_dim;
      bool by_texts;
    };
    for (const Case& c : {Case{2, 4, 6, 20, false}, Case{2, 4, 6, 20, true}, Case{1, 1, 5, 3, true},
                          Case{3, 3, 16, 16, false}, Case{1, 2, 9, 40, true}}) {
      const bool by_texts = c.by_texts;
      CAPTURE(c.value_heads);
      StateGraph g(12, by_texts);
      const size_t keys = c.key_heads * c.key_dim;
      const size_t values = c.value_heads * c.value_dim;
      const auto x = g.Rows(2 * keys + values);
      const auto a = g.Rows(c.value_heads);
      const auto b = g.Rows(c.value_heads);
      const Weight rates = g.graph().RandomVector("rates", c.value_heads, -0.7, 0.2);
      const Weight offsets = g.graph().RandomVector("offsets", c.value_heads, 0.1, 1.0);
      const auto u32 = [](size_t n) { return static_cast<uint32_t>(n); };
      g.Add({x.value, a.value, b.value}, values, fb::OpAttributes::GatedDeltaRule,
            fb::CreateGatedDeltaRule(g.buffer(), u32(c.key_heads), u32(c.value_heads),
                                     u32(c.key_dim), u32(c.value_dim), rates.tensor, offsets.tensor,
                                     1e-6f, g.State(c.value_heads * c.key_dim, c.value_dim))
                .Union());
      Numbers expected = Numbers::Zeros(kRows, values);
      for (size_t head = 0; head < c.value_heads; ++head) {
        const size_t key_head = head * c.key_heads / c.value_heads;
        Numbers s = Numbers::Zeros(c.key_dim, c.value_dim);
        for (size_t row = 0; row < kRows; ++row) {
          const auto normed = [&](size_t begin, double scale) {
            std::vector<double> v(c.key_dim);
            double squares = 1e-6;
            for (size_t k = 0; k < c.key_dim; ++k) {
              v[k] = x.rows(row, begin + key_head * c.key_dim + k);
              squares += v[k] * v[k];
            }
            for (double& number : v) number *= scale / std::sqrt(squares);
            return v;
          };
          const auto query = normed(0, 1.0 / std::sqrt(static_cast<double>(c.key_dim)));
          const auto key = normed(keys, 1.0);
          const double decay = std::exp(rates.numbers.at[head] *
                                        Softplus(a.rows(row, head) + offsets.numbers.at[head]));
          for (double& number : s.at) number *= decay;
          for (size_t v = 0; v < c.value_dim; ++v) {
            double held = 0.0;
            for (size_t k = 0; k < c.key_dim; ++k) held += s(k, v) * key[k];
            const double value = x.rows(row, 2 * keys + head * c.value_dim + v);
            const double delta = (value - held) * Sigmoid(b.rows(row, head));
            double out = 0.0;
            for (size_t k = 0; k < c.key_dim; ++k) {
              s(k, v) += key[k] * delta;
              out += s(k, v) * query[k];
            }
            expected(row, head * c.value_dim + v) = out;
          }
        }
      }
      CHECK(g.Error(expected) < 1e-5);
    }
  }

  TEST_CASE("selective_scan is its recurrence: rates of heads or of each number, B and C apart") {
    struct Case {
      size_t heads, head_dim, groups, state_dim;
      bool rate_for_each, apart, limited, by_texts;
    };
    for (const Case& c :
         {Case{4, 6, 2, 5, false, false, true, false}, Case{4, 6, 2, 5, false, false, true, true},
          Case{41, 1, 1, 7, true, true, false, false}, Case{41, 1, 1, 7, true, true, false, true},
          Case{2, 16, 1, 16, false, false, false, true},
          Case{3, 5, 3, 1, false, true, true, false}}) {
      const bool by_texts = c.by_texts;
      CAPTURE(c.heads);
      StateGraph g(13, by_texts);
      const size_t width = c.heads * c.head_dim;
      const size_t shared = c.groups * c.state_dim;
      const auto x = g.Rows(c.apart ? width : width + 2 * shared);
      const auto apart = c.apart ? g.Rows(2 * shared) : StateGraph::Input{};
      const auto steps = g.Rows(c.heads);
      const Weight rates = g.graph().RandomVector(
          "rates", c.rate_for_each ? c.heads * c.state_dim : c.heads, -0.8, 0.2);
      const Weight offsets = g.graph().RandomVector("offsets", c.heads, 0.0, 1.0);
      const Weight skips = g.graph().RandomVector("skips", c.heads, 1.0, 0.5);
      const auto u32 = [](size_t n) { return static_cast<uint32_t>(n); };
      const double low = c.limited ? 0.25 : 0.0;
      const double high = c.limited ? 0.75 : 1e30;
      std::vector<int32_t> inputs = {x.value};
      if (c.apart) inputs.push_back(apart.value);
      inputs.push_back(steps.value);
      g.Add(inputs, width, fb::OpAttributes::SelectiveScan,
            fb::CreateSelectiveScan(g.buffer(), u32(c.heads), u32(c.head_dim), u32(c.groups),
                                    u32(c.state_dim), rates.tensor, offsets.tensor, skips.tensor,
                                    static_cast<float>(low), c.limited ? 0.75f : 0.0f,
                                    g.State(shared, width / c.groups))
                .Union());
      Numbers expected = Numbers::Zeros(kRows, width);
      for (size_t column = 0; column < width; ++column) {
        const size_t head = column / c.head_dim;
        const size_t group = head / (c.heads / c.groups);
        std::vector<double> h(c.state_dim);
        for (size_t row = 0; row < kRows; ++row) {
          const double step =
              std::clamp(Softplus(steps.rows(row, head) + offsets.numbers.at[head]), low, high);
          const auto shared_number = [&](size_t n) {
            return c.apart ? apart.rows(row, n) : x.rows(row, width + n);
          };
          double out = skips.numbers.at[head] * x.rows(row, column);
          for (size_t n = 0; n < c.state_dim; ++n) {
            const double rate = rates.numbers.at[c.rate_for_each ? head * c.state_dim + n : head];
            h[n] = std::exp(step * rate) * h[n] +
                   step * shared_number(group * c.state_dim + n) * x.rows(row, column);
            out += shared_number(shared + group * c.state_dim + n) * h[n];
          }
          expected(row, column) = out;
        }
      }
      CHECK(g.Error(expected) < 2e-5);
    }
  }

  TEST_CASE("gated_recurrence is its recurrence, whose first row comes in whole") {
    for (const bool by_texts : {false, true}) {
      const size_t blocks = by_texts ? 1 : 3;
      CAPTURE(blocks);
      StateGraph g(14, by_texts);
      const size_t width = 39;
      const size_t block = width / blocks;
      const auto x = g.Rows(width);
      const Weight input = g.graph().RandomVector("input", width * block, 0.0, 0.3);
      const Weight gate = g.graph().RandomVector("gate", width * block, 0.0, 0.3);
      const Weight input_bias = g.graph().RandomVector("input_bias", width, 0.0, 1.0);
      const Weight gate_bias = g.graph().RandomVector("gate_bias", width, 0.0, 1.0);
      const Weight rates = g.graph().RandomVector("rates", width, -2.0, 0.4);
      g.Add({x.value}, width, fb::OpAttributes::GatedRecurrence,
            fb::CreateGatedRecurrence(g.buffer(), static_cast<uint32_t>(blocks), input.tensor,
                                      input_bias.tensor, gate.tensor, gate_bias.tensor,
                                      rates.tensor, g.State(1, width))
                .Union());
      Numbers expected = Numbers::Zeros(kRows, width);
      for (size_t column = 0; column < width; ++column) {
        double h = 0.0;
        const size_t first = column / block * block;
        for (size_t row = 0; row < kRows; ++row) {
          const auto apply = [&](const Weight& weight, const Weight& bias) {
            double sum = bias.numbers.at[column];
            for (size_t i = 0; i < block; ++i) {
              sum +=
                  x.rows(row, first + i) * weight.numbers.at[(first + i) * block + column - first];
            }
            return Sigmoid(sum);
          };
          const double a = std::exp(rates.numbers.at[column] * apply(gate, gate_bias));
          const double in = x.rows(row, column) * apply(input, input_bias);
          h = row == 0 ? in : a * h + std::sqrt(1.0 - a * a) * in;
          expected(row, column) = h;
        }
      }
      CHECK(g.Error(expected) < 1e-5);
    }
  }

  TEST_CASE("rms_norm in runs takes weights of each run's own") {
    StateGraph g(15, /*by_texts=*/false);
    const size_t width = 34;
    const auto x = g.Rows(width);
    const Weight weight = g.graph().RandomVector("norm", width, 1.0, 0.3);
    g.Add({x.value}, width, fb::OpAttributes::RmsNorm,
          fb::CreateRmsNorm(g.buffer(), weight.tensor, 1e-5f, 2).Union());
    Numbers expected = Numbers::Zeros(kRows, width);
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t i = 0; i < width; ++i) {
        double squares = 0.0;
        for (size_t k = 0; k < 17; ++k) squares += std::pow(x.rows(row, i / 17 * 17 + k), 2);
        expected(row, i) = x.rows(row, i) / std::sqrt(squares / 17.0 + 1e-5) * weight.numbers.at[i];
      }
    }
    CHECK(g.Error(expected) < 1e-5);
  }
}

}  // namespace
}  // namespace graft::test
