// SPDX-License-Identifier: Apache-2.0
// Linear ops of every weight format, against f64 sums; quantized ones against exact integer sums of
// the same codes.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"

namespace graft::test {
namespace {

struct Shape {
  size_t out, in, block_size;
};

bool IsQuantized(fb::TensorFormat format) { return format >= fb::TensorFormat::Int8PerChannel; }

void CheckLinear(fb::TensorFormat format, const Shape& shape, bool with_bias, unsigned threads) {
  CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
  CAPTURE(shape.out);
  CAPTURE(shape.in);
  CAPTURE(with_bias);
  GraphMaker graph(7);
  const Weight weight = graph.RandomWeight("weight", format, shape.out, shape.in, shape.block_size);
  const Weight bias = graph.RandomVector("bias", shape.out, 0.0, 1.0);
  graph.Output(graph.Linear(graph.TensorInput("x", static_cast<int64_t>(shape.in)), weight,
                            with_bias ? &bias : nullptr));
  runtime::SessionOptions options;
  options.threads = threads;
  const auto session = NewSession(graph.Open(threads), options);
  for (const size_t rows : {1, 2, 13, 67}) {
    CAPTURE(rows);
    const auto x = RandomFloats(graph.random(), rows * shape.in);
    const Numbers input = AsNumbers(x, rows);
    const Numbers expected =
        IsQuantized(format) ? ReferenceQuantizedLinear(input, weight, with_bias ? &bias : nullptr)
                            : ReferenceLinear(input, weight, with_bias ? &bias : nullptr);
    const double difference = LargestDifference(ForwardNumbers(*session, x, shape.in), expected);
    // Results are around 1 to 10. f32: products summed in f32. Quantized: integer sums, then one
    // rounding for each block.
    CHECK(difference < 2e-6 * std::sqrt(static_cast<double>(shape.in)) *
                           std::max(1.0, LargestMagnitude(expected)));
  }
}

TEST_SUITE("runtime/linear") {
  TEST_CASE("float formats, shapes down to one") {
    for (const auto format :
         {fb::TensorFormat::Float32, fb::TensorFormat::Float16, fb::TensorFormat::BFloat16}) {
      for (const Shape& shape : {Shape{1, 1, 0}, Shape{3, 5, 0}, Shape{16, 24, 0}, Shape{31, 37, 0},
                                 Shape{67, 129, 0}, Shape{257, 64, 0}}) {
        CheckLinear(format, shape, true, 2);
      }
      CheckLinear(format, {101, 43, 0}, false, 1);
    }
  }
  TEST_CASE("int8 per channel") {
    for (const Shape& shape :
         {Shape{1, 1, 0}, Shape{3, 5, 0}, Shape{31, 37, 0}, Shape{67, 129, 0}, Shape{257, 64, 0}}) {
      CheckLinear(fb::TensorFormat::Int8PerChannel, shape, true, 2);
    }
    CheckLinear(fb::TensorFormat::Int8PerChannel, {101, 43, 0}, false, 1);
  }
  TEST_CASE("int4 in blocks of every size") {
    for (const size_t block : {32, 64, 128, 256}) {
      CheckLinear(fb::TensorFormat::Int4Block, {1, block, block}, true, 2);
      CheckLinear(fb::TensorFormat::Int4Block, {67, 3 * block, block}, true, 2);
    }
    CheckLinear(fb::TensorFormat::Int4Block, {257, 96, 32}, false, 1);
  }
  TEST_CASE("int4 per channel") {
    for (const Shape& shape :
         {Shape{1, 2, 0}, Shape{3, 6, 0}, Shape{31, 38, 0}, Shape{67, 130, 0}, Shape{257, 64, 0}}) {
      CheckLinear(fb::TensorFormat::Int4PerChannel, shape, true, 2);
    }
    CheckLinear(fb::TensorFormat::Int4PerChannel, {101, 44, 0}, false, 1);
  }
  TEST_CASE("a matrix of many slices, packed and run by several threads") {
    CheckLinear(fb::TensorFormat::Int4Block, {3001, 512, 32}, true, 3);
    CheckLinear(fb::TensorFormat::Int8PerChannel, {3001, 515, 0}, true, 3);
    CheckLinear(fb::TensorFormat::Float32, {1501, 515, 0}, true, 3);
    CheckLinear(fb::TensorFormat::BFloat16, {1501, 515, 0}, true, 3);
  }
  TEST_CASE("weights of equal codes and different scales or biases stay apart") {
    GraphMaker graph(8);
    const std::vector<uint8_t> codes(64 * 32, 0x5A);
    const auto tensor = [&](const char* name, uint16_t scale) {
      const std::vector<uint16_t> scales(64 * 2, scale);
      return graph.builder().Tensor(
          name, fb::TensorFormat::Int4Block, {64, 64}, codes,
          {reinterpret_cast<const uint8_t*>(scales.data()), scales.size() * 2}, 32);
    };
    Weight one, two;
    one.numbers = two.numbers = Numbers::Zeros(64, 64);
    one.tensor = tensor("one", 0x3F80);  // 1.0
    two.tensor = tensor("two", 0x4000);  // 2.0
    const Weight bias = graph.RandomVector("bias", 64, 100.0, 0.0);
    const int32_t x = graph.TensorInput("x", 64);
    const int32_t first = graph.Linear(x, one);
    const int32_t second = graph.Linear(x, two);
    const int32_t third = graph.Linear(x, one, &bias);
    graph.Output(graph.Binary(fb::OpAttributes::Add, first, second, 64));
    graph.Output(third);
    graph.Output(first);
    const auto session = NewSession(graph.Open(), {});
    const std::vector<float> input(64, 1.0f);
    const std::vector<runtime::TensorView> inputs = {
        {"x", runtime::ElementType::kFloat32, {1, 64}, input.data()}};
    const auto outputs = session->Forward(inputs);
    REQUIRE(outputs.ok());
    const float sum = static_cast<const float*>((*outputs)[0].data)[0];
    const float biased = static_cast<const float*>((*outputs)[1].data)[0];
    const float alone = static_cast<const float*>((*outputs)[2].data)[0];
    // Codes 10 and 5: (2 - 3) * 32 = -32 at scale 1.
    CHECK(alone == doctest::Approx(-32.0f));
    CHECK(sum == doctest::Approx(3 * -32.0f));
    CHECK(biased == doctest::Approx(68.0f));
  }
}

}  // namespace
}  // namespace graft::test
