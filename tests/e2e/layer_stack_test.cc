// SPDX-License-Identifier: Apache-2.0
// Converted stacks of layers answer as PyTorch, and as PEFT with an adapter attached.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

// Of the largest reference value: float32 sums of some hundreds of terms, in another order.
constexpr double kRelativeTolerance = 1e-5;
constexpr double kInt8Cosine = 0.995;

struct Case {
  const char* name;
  const char* io;
  const char* expected;  // in the file
};
constexpr Case kCases[] = {
    {"classifier", "layer_stacks/classifier", "output"},
    {"residual", "layer_stacks/residual", "output"},
    {"sequence", "layer_stacks/sequence", "output"},
    {"conv2d", "adapters/conv2d", "logits_adapter"},
    {"conv2d_dora", "adapters/conv2d_dora", "logits_adapter"},
    {"loha_conv", "adapters/loha_conv", "logits_adapter"},
    {"mlp_100x10", "adapters/mlp_100x10", "logits_adapter"},
};

// All items of the file's input in one call; the shape of the only output is checked.
std::vector<float> Compute(const Case& c, const std::string& quant) {
  const ModelPtr model = OpenModel(std::string("stack-") + c.name + "-" + quant);
  const SessionPtr session = NewSession(model.get());
  const std::string io = DataPath(std::string(c.io) + "/io.safetensors");
  const Numbers input = ReadNumbers(io, "input");
  const Numbers expected = ReadNumbers(io, c.expected);
  const std::vector<float> numbers(input.values.begin(), input.values.end());
  graft_tensor tensor = {};
  tensor.name = "input";
  tensor.type = GRAFT_TYPE_F32;
  tensor.rank = static_cast<uint32_t>(input.shape.size());
  std::copy(input.shape.begin(), input.shape.end(), tensor.shape);
  tensor.data = numbers.data();
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  const graft_status status =
      graft_session_forward(session.get(), &tensor, 1, &outputs, &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  REQUIRE(count == 1);
  CHECK(std::vector<int64_t>(outputs[0].shape, outputs[0].shape + outputs[0].rank) ==
        expected.shape);
  const auto* data = static_cast<const float*>(outputs[0].data);
  return {data, data + expected.values.size()};
}

TEST_SUITE("e2e/layer_stacks") {
  TEST_CASE("stacks of layers give PyTorch's outputs, and quantization keeps their direction") {
    for (const Case& c : kCases) {
      CAPTURE(std::string(c.name));
      const Numbers expected =
          ReadNumbers(DataPath(std::string(c.io) + "/io.safetensors"), c.expected);
      const double difference =
          LargestDifference(Compute(c, "f32"), expected.values) / LargestMagnitude(expected.values);
      const double int8 = Cosine(Compute(c, "int8"), expected.values);
      const double int4 = Cosine(Compute(c, "int4"), expected.values);
      MESSAGE(std::string(c.name) << ": f32 off by " << difference << ", cosine of int8 " << int8
                                  << ", of int4 " << int4);
      CHECK(difference <= kRelativeTolerance);
      CHECK(int8 >= kInt8Cosine);
      CHECK(int4 >= 0.9);  // Random weights bear little; that it is the same network shows.
    }
  }
}

}  // namespace
}  // namespace graft::test
