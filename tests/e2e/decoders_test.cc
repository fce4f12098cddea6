// SPDX-License-Identifier: Apache-2.0
// Every decoder family gives transformers' logits and greedy tokens, in float32, and follows them
// when quantized.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

constexpr const char* kFamilies[] = {"llama",
                                     "llama_rope_llama3",
                                     "mistral_sliding",
                                     "qwen2",
                                     "qwen2_yarn",
                                     "qwen3",
                                     "smollm3",
                                     "olmo2",
                                     "granite",
                                     "phi3",
                                     "gemma2",
                                     "gemma3",
                                     "phi3_longrope",
                                     "gpt2",
                                     "opt",
                                     "opt_post_norm",
                                     "gpt_neox",
                                     "gpt_neox_sequential"};

// Of the largest reference value.
constexpr double kRelativeTolerance = 1e-3;

std::string IoFile(const std::string& name) {
  return DataPath("architectures/" + name + "/io.safetensors");
}

// The only row of the only output: what a classifier says of a text.
std::vector<float> Scores(const std::string& model_name, const std::vector<int32_t>& ids) {
  const ModelPtr model = OpenModel(model_name);
  const SessionPtr session = NewSession(model.get());
  graft_tensor input = {};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 1;
  input.shape[0] = static_cast<int64_t>(ids.size());
  input.data = ids.data();
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  const graft_status status =
      graft_session_forward(session.get(), &input, 1, &outputs, &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  REQUIRE(count == 1);
  REQUIRE(outputs[0].rank == 2);
  REQUIRE(outputs[0].shape[0] == 1);
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  return {numbers, numbers + outputs[0].shape[1]};
}

double CosineOf(const std::string& name, const std::string& quantization) {
  const ModelPtr model = OpenModel("architecture-" + name + "-" + quantization);
  const SessionPtr session = NewSession(model.get());
  return Cosine(Logits(session.get(), ReadNumbers(IoFile(name), "input_ids").ids()),
                ReadNumbers(IoFile(name), "logits").values);
}

TEST_SUITE("e2e/decoders") {
  TEST_CASE("float32 logits are those of transformers") {
    for (const std::string name : kFamilies) {
      CAPTURE(name);
      const ModelPtr model = OpenModel("architecture-" + name + "-f32");
      const SessionPtr session = NewSession(model.get());
      const Numbers expected = ReadNumbers(IoFile(name), "logits");
      const std::vector<float> logits =
          Logits(session.get(), ReadNumbers(IoFile(name), "input_ids").ids());
      CHECK(LargestDifference(logits, expected.values) <=
            kRelativeTolerance * LargestMagnitude(expected.values));
    }
  }

  TEST_CASE("greedy tokens are those of transformers") {
    for (const std::string name : kFamilies) {
      CAPTURE(name);
      const ModelPtr model = OpenModel("architecture-" + name + "-f32");
      const SessionPtr session = NewSession(model.get());
      // The reference is the first 8 of the input ids, then what transformers generated.
      const std::vector<int32_t> all = ReadNumbers(IoFile(name), "greedy_ids").ids();
      REQUIRE(all.size() == 32);
      const std::vector<int32_t> prompt(all.begin(), all.begin() + 8);
      const std::vector<int32_t> expected(all.begin() + 8, all.end());
      CHECK(Greedy(session.get(), prompt, 24) == expected);
    }
  }

  TEST_CASE("int8 logits keep their direction") {
    for (const std::string name : kFamilies) {
      CAPTURE(name);
      CHECK(CosineOf(name, "int8") >= 0.995);
    }
  }

  TEST_CASE("a decoder with a score head gives transformers' scores, of the last token") {
    const std::vector<int32_t> ids = ReadNumbers(IoFile("gpt2_seqcls"), "input_ids").ids();
    const Numbers expected = ReadNumbers(IoFile("gpt2_seqcls"), "logits");
    CHECK(LargestDifference(Scores("architecture-gpt2_seqcls-f32", ids), expected.values) <=
          kRelativeTolerance * LargestMagnitude(expected.values));
    CHECK(Cosine(Scores("architecture-gpt2_seqcls-int8", ids), expected.values) >= 0.995);
    CHECK(Scores("architecture-gpt2_seqcls-int4", ids).size() == 3);
  }

  TEST_CASE("int4 logits keep their direction roughly") {
    for (const std::string name : kFamilies) {
      CAPTURE(name);
      // A code is off by up to a fourteenth of its block's largest weight; a misplaced row or block
      // would leave no direction at all. OLMo 2 scales each branch's result up to a norm of its own
      // and with it the rounding: floating-point arithmetic with weights so rounded gives 0.88.
      CHECK(CosineOf(name, "int4") >= (name == "olmo2" ? 0.8 : 0.9));
    }
  }
}

}  // namespace
}  // namespace graft::test
