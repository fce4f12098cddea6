// SPDX-License-Identifier: Apache-2.0
// ExpertLinear against its reference in every format, and what it reads: the chosen experts alone.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/executor/profile.h"
#include "tests/reference/op_reference.h"
#include "tests/runtime/model/cached_model.h"
#include "tests/support/resident_bytes.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

using Options = GraphMaker::RouteOptions;

bool IsQuantized(fb::TensorFormat format) {
  return format == fb::TensorFormat::Int8PerChannel || format == fb::TensorFormat::Int4Block ||
         format == fb::TensorFormat::Int4PerChannel;
}

// Rows [expert * rows, (expert + 1) * rows) of a weight or bias.
Weight PartOf(const Weight& all, size_t expert, size_t experts) {
  Weight part = all;
  const auto cut = [&](auto& numbers) {
    const size_t count = numbers.size() / experts;
    const auto from = numbers.begin() + static_cast<ptrdiff_t>(expert * count);
    std::vector<typename std::decay_t<decltype(numbers)>::value_type> kept(
        from, from + static_cast<ptrdiff_t>(count));
    numbers = std::move(kept);
  };
  const bool is_vector = all.numbers.rows == 1;
  (is_vector ? part.numbers.width : part.numbers.rows) /= experts;
  cut(part.numbers.at);
  cut(part.codes);
  cut(part.scales);
  return part;
}

// The experts of the largest scores, in falling order.
std::vector<size_t> Chosen(const std::vector<float>& scores, size_t row, size_t experts,
                           size_t count) {
  std::vector<size_t> order(experts);
  for (size_t i = 0; i < experts; ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return scores[row * experts + a] > scores[row * experts + b];
  });
  order.resize(count);
  return order;
}

struct Shape {
  size_t experts, choices, out, in, block_size;
  bool own_rows = false;  // each choice has a row of its own
};

void CheckExperts(fb::TensorFormat format, const Shape& shape, bool with_bias, unsigned threads) {
  CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
  CAPTURE(shape.out);
  CAPTURE(shape.in);
  CAPTURE(shape.own_rows);
  GraphMaker graph(9);
  const Options options = {.choices = static_cast<int64_t>(shape.choices)};
  const size_t width = shape.in * (shape.own_rows ? shape.choices : 1);
  const Weight weight =
      graph.RandomWeight("weight", format, shape.experts * shape.out, shape.in, shape.block_size);
  const Weight bias = graph.RandomVector("bias", shape.experts * shape.out, 0.0, 1.0);
  const int32_t x_value = graph.TensorInput("x", static_cast<int64_t>(width));
  const auto routed =
      graph.Route(graph.TensorInput("y", static_cast<int64_t>(shape.experts)), options);
  graph.Output(graph.ExpertLinear(x_value, routed, options, shape.experts, weight,
                                  with_bias ? &bias : nullptr));
  const auto session = NewSession(graph.Open(threads), {.threads = threads});
  for (const size_t rows : {1, 2, 13, 67}) {
    CAPTURE(rows);
    const auto x = RandomFloats(graph.random(), rows * width);
    auto scores = RandomFloats(graph.random(), rows * shape.experts);
    // All rows to one expert: more than are gathered at once.
    if (rows == 67) {
      for (size_t row = 0; row < rows; ++row) scores[row * shape.experts + 1] += 100.0f;
    }
    const Numbers got = ForwardNumbers(*session, x, width, &scores, shape.experts);
    Numbers expected = Numbers::Zeros(rows, shape.choices * shape.out);
    for (size_t row = 0; row < rows; ++row) {
      const auto chosen = Chosen(scores, row, shape.experts, shape.choices);
      for (size_t i = 0; i < shape.choices; ++i) {
        const float* from = x.data() + row * width + (shape.own_rows ? i * shape.in : 0);
        const Numbers input = AsNumbers({from, shape.in}, 1);
        const Weight own = PartOf(weight, chosen[i], shape.experts);
        const Weight own_bias = PartOf(bias, chosen[i], shape.experts);
        const Weight* added = with_bias ? &own_bias : nullptr;
        const Numbers product = IsQuantized(format) ? ReferenceQuantizedLinear(input, own, added)
                                                    : ReferenceLinear(input, own, added);
        for (size_t o = 0; o < shape.out; ++o) expected(row, i * shape.out + o) = product(0, o);
      }
    }
    // As for linears: products summed in f32, or integer sums and one rounding for each block.
    CHECK(LargestDifference(got, expected) < 2e-6 * std::sqrt(static_cast<double>(shape.in)) *
                                                 std::max(1.0, LargestMagnitude(expected)));
  }
}

// Of gate, up and down [width, width] of every expert; the stages count what they read.
class MixtureModel {
 public:
  MixtureModel(size_t experts, size_t choices, size_t width, bool spoil_last = false)
      : experts_(experts), width_(width) {
    GraphMaker graph(5);
    const Options options = {.choices = static_cast<int64_t>(choices), .normalized = true};
    const int32_t x = graph.TensorInput("x", static_cast<int64_t>(width));
    const auto routed = graph.Route(graph.TensorInput("y", static_cast<int64_t>(experts)), options);
    const auto weight = [&](const char* name) {
      std::vector<float> numbers = RandomFloats(graph.random(), experts * width * width, 0.05);
      if (spoil_last) {
        std::fill(numbers.end() - static_cast<ptrdiff_t>(width * width), numbers.end(),
                  std::numeric_limits<float>::quiet_NaN());
      }
      Weight stored;
      stored.numbers.rows = experts * width;
      stored.tensor = graph.builder().FloatTensor(
          name, {static_cast<int64_t>(experts * width), static_cast<int64_t>(width)}, numbers);
      return stored;
    };
    const int32_t gate = graph.ExpertLinear(x, routed, options, experts, weight("gate"));
    const int32_t up = graph.ExpertLinear(x, routed, options, experts, weight("up"));
    const int32_t h = graph.Binary(fb::OpAttributes::GatedActivation, gate, up,
                                   static_cast<int64_t>(choices * width));
    const int32_t down = graph.ExpertLinear(h, routed, options, experts, weight("down"));
    graph.Output(graph.WeightedSum(down, routed.weights, static_cast<int64_t>(width)));
    file_ = graph.builder().Finish();
  }

  std::shared_ptr<const runtime::Model> Open(const runtime::CacheSettings& cache = {}) const {
    return OpenBytes(file_, cache);
  }
  // A row given to the first experts.
  Numbers Run(runtime::Session& session) const {
    std::vector<float> scores(experts_);
    for (size_t i = 0; i < experts_; ++i) scores[i] = -static_cast<float>(i);
    const std::vector<float> x(width_, 0.5f);
    return ForwardNumbers(session, x, width_, &scores, experts_);
  }

 private:
  size_t experts_, width_;
  AlignedBytes file_;
};

TEST_SUITE("runtime/experts") {
  TEST_CASE("experts match their reference in every format") {
    using Format = fb::TensorFormat;
    for (const bool own : {false, true}) {
      for (const auto format : {Format::Float32, Format::Float16, Format::BFloat16}) {
        CheckExperts(format, {4, 2, 19, 13, 0, own}, true, 2);
      }
      CheckExperts(Format::Float32, {3, 3, 150, 64, 0, own}, false, 3);
      CheckExperts(Format::Int8PerChannel, {5, 2, 37, 51, 0, own}, true, 2);
      CheckExperts(Format::Int8PerChannel, {8, 3, 64, 64, 0, own}, false, 1);
      CheckExperts(Format::Int4PerChannel, {4, 2, 31, 38, 0, own}, true, 2);
      for (const size_t block : {32, 64, 128, 256})
        CheckExperts(Format::Int4Block, {4, 2, 40, 2 * block, block, own}, own, 2);
    }
    CheckExperts(Format::Float32, {2, 1, 1, 1, 0}, true, 2);
    CheckExperts(Format::Int4Block, {2, 2, 1, 32, 32}, true, 2);
  }

  TEST_CASE("experts of many slices, run by several threads") {
    if (kSomeOfAll) return;
    CheckExperts(fb::TensorFormat::Int4Block, {4, 2, 600, 256, 32}, true, 3);
    CheckExperts(fb::TensorFormat::Int8PerChannel, {4, 2, 301, 259, 0}, true, 3);
    CheckExperts(fb::TensorFormat::Float32, {3, 2, 301, 130, 0, true}, true, 3);
  }

  TEST_CASE("a row reads the weights of its experts, and of no others") {
    constexpr size_t kExperts = 8;
    constexpr size_t kChoices = 2;
    const MixtureModel mixture(kExperts, kChoices, 48, /*spoil_last=*/true);
    const auto model = mixture.Open();
    const auto session = NewSession(model, {.threads = 2});
    session->MeasureSteps(true);
    for (const double number : mixture.Run(*session).at) CHECK(std::isfinite(number));
    session->MeasureSteps(false);
    uint64_t read = 0;
    for (const runtime::StepTime& time : session->step_times()) read += time.totals.weight_bytes;
    const uint64_t matrix = model->packed_weights().linear(1).packed_bytes;
    CHECK(read == 3 * kChoices * matrix);
    CHECK(session->weight_bytes() == read);
    CHECK(model->packed_weights().bytes() >= 3 * kExperts * matrix);
  }

  TEST_CASE("the pages of packed weights that a row brings in are those of its experts") {
    if (!ResidentBytesAreKnown()) return;
    constexpr size_t kExperts = 8;
    constexpr size_t kChoices = 2;
    const MixtureModel mixture(kExperts, kChoices, 320);
    const CacheFolder folder;
    REQUIRE(StateOf(mixture.Open(folder.settings())) == runtime::CacheState::kStored);
    const auto model = mixture.Open(folder.settings());
    REQUIRE(StateOf(model) == runtime::CacheState::kHit);
    const auto session = NewSession(model, {.threads = 1});
    const Numbers first = mixture.Run(*session);  // what is set aside once is there
    model->Trim();
    const uint64_t before = ResidentBytes();
    const Numbers again = mixture.Run(*session);
    const uint64_t grown = ResidentBytes() - before;
    CHECK(again.at == first.at);
    const uint64_t active = 3 * kChoices * model->packed_weights().linear(1).packed_bytes;
    CHECK(grown >= active * 9 / 10);
    // The system maps around each page that is touched, up to 2 MiB of a file that it holds in large
    // pages: that no others are read is what the case before this counts.
    CHECK(grown < active * kExperts / kChoices * 3 / 4);
  }

  TEST_CASE("a mixture gives the same numbers from a cache of packed weights") {
    const MixtureModel mixture(4, 2, 40);
    const CacheFolder folder;
    const auto run = [&](const runtime::CacheSettings& cache, runtime::CacheState state) {
      const auto model = mixture.Open(cache);
      CHECK(StateOf(model) == state);
      return mixture.Run(*NewSession(model, {.threads = 2})).at;
    };
    const auto expected = run({}, runtime::CacheState::kOff);
    CHECK(run(folder.settings(), runtime::CacheState::kStored) == expected);
    CHECK(run(folder.settings(), runtime::CacheState::kHit) == expected);
  }
}

}  // namespace
}  // namespace graft::test
