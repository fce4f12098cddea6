// SPDX-License-Identifier: Apache-2.0
// Converted encoders answer as transformers and PEFT do, for one text as for many at once.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

// Of the largest reference value.
constexpr double kRelativeTolerance = 1e-3;
constexpr double kInt8Cosine = 0.995;
// Sums of float32 in the same order, but by kernels that take other numbers of rows at a time.
constexpr double kSameTextTolerance = 2e-6;
constexpr int32_t kPadding = 0;

struct Case {
  const char* name;
  const char* input;  // in the file
  const char* model_input;
  const char* output;
  const char* expected;    // in the file
  bool has_types = false;  // the file's input has token types too
};
constexpr Case kCases[] = {
    {"bert_encoder", "input_ids", "input_ids", "last_hidden_state", "last_hidden_state"},
    {"bert_encoder", "input_ids", "input_ids", "sentence_embedding", "mean_pooled_normalized"},
    {"bert_seqcls", "input_ids", "input_ids", "logits", "logits"},
    {"bert_tokencls", "input_ids", "input_ids", "logits", "logits"},
    {"distilbert_seqcls", "input_ids", "input_ids", "logits", "logits"},
    {"roberta_seqcls", "input_ids", "input_ids", "logits", "logits"},
    {"vit", "pixel_values", "pixel_values", "logits", "logits"},
    {"electra_seqcls", "input_ids", "input_ids", "logits", "logits", true},
    {"electra_tokencls", "input_ids", "input_ids", "logits", "logits", true},
    {"roberta_tokencls", "input_ids", "input_ids", "logits", "logits"},
    {"distilbert_tokencls", "input_ids", "input_ids", "logits", "logits"},
    {"xlm_roberta_seqcls", "input_ids", "input_ids", "logits", "logits"},
    {"deit", "pixel_values", "pixel_values", "logits", "logits"},
    {"deit_teacher", "pixel_values", "pixel_values", "logits", "logits"},
    {"minilm_mean", "input_ids", "input_ids", "sentence_embedding", "sentence_embedding", true},
    {"minilm_cls", "input_ids", "input_ids", "sentence_embedding", "sentence_embedding", true},
    {"minilm_max", "input_ids", "input_ids", "sentence_embedding", "sentence_embedding", true},
};
constexpr Case kAdapterCases[] = {
    {"bias_lora_only", "input", "input_ids", "logits", "logits_adapter"},
    {"modules_to_save_classifier", "input", "input_ids", "logits", "logits_adapter"},
    {"vit_qkv", "input", "pixel_values", "logits", "logits_adapter"},
};

graft_tensor TensorOf(const char* name, int32_t type, const std::vector<int64_t>& shape,
                      const void* data) {
  graft_tensor tensor = {};
  tensor.name = name;
  tensor.type = type;
  tensor.rank = static_cast<uint32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) tensor.shape[i] = shape[i];
  tensor.data = data;
  return tensor;
}

struct Output {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

Output Forward(graft_session* session, const std::vector<graft_tensor>& inputs,
               const std::string& name) {
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  const graft_status status =
      graft_session_forward(session, inputs.data(), inputs.size(), &outputs, &count, &error);
  REQUIRE_MESSAGE(status == GRAFT_OK, std::string(error.message));
  for (size_t i = 0; i < count; ++i) {
    if (outputs[i].name != name) continue;
    Output output;
    size_t elements = 1;
    for (uint32_t d = 0; d < outputs[i].rank; ++d) {
      output.shape.push_back(outputs[i].shape[d]);
      elements *= static_cast<size_t>(outputs[i].shape[d]);
    }
    const auto* values = static_cast<const float*>(outputs[i].data);
    output.values.assign(values, values + elements);
    return output;
  }
  FAIL("no output " << name);
  return {};
}

Output Compute(const std::string& model_name, const std::string& io, const Case& c) {
  const ModelPtr model = OpenModel(model_name);
  const SessionPtr session = NewSession(model.get());
  const Numbers input = ReadNumbers(io, c.input);
  if (std::string(c.model_input) == "pixel_values") {
    const std::vector<float> pixels(input.values.begin(), input.values.end());
    return Forward(session.get(),
                   {TensorOf(c.model_input, GRAFT_TYPE_F32, input.shape, pixels.data())}, c.output);
  }
  const std::vector<int32_t> ids = input.ids();
  std::vector<graft_tensor> inputs = {
      TensorOf(c.model_input, GRAFT_TYPE_I32, input.shape, ids.data())};
  std::vector<int32_t> types;
  if (c.has_types) {
    types = ReadNumbers(io, "token_type_ids").ids();
    inputs.push_back(TensorOf("token_type_ids", GRAFT_TYPE_I32, input.shape, types.data()));
  }
  return Forward(session.get(), inputs, c.output);
}

std::string FailureOf(graft_session* session, const std::vector<graft_tensor>& inputs) {
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  graft_error error = {};
  CHECK(graft_session_forward(session, inputs.data(), inputs.size(), &outputs, &count, &error) !=
        GRAFT_OK);
  return error.message;
}

TEST_SUITE("e2e/encoders") {
  TEST_CASE("encoders give transformers' outputs, and int8 keeps their direction") {
    for (const Case& c : kCases) {
      CAPTURE(std::string(c.name));
      CAPTURE(std::string(c.output));
      const std::string io = DataPath(std::string("architectures/") + c.name + "/io.safetensors");
      const std::string name = std::string("architecture-") + c.name;
      const Numbers expected = ReadNumbers(io, c.expected);
      const Output f32 = Compute(name + "-f32", io, c);
      CHECK(f32.shape == expected.shape);
      const double difference =
          LargestDifference(f32.values, expected.values) / LargestMagnitude(expected.values);
      const double cosine = Cosine(Compute(name + "-int8", io, c).values, expected.values);
      MESSAGE(std::string(c.name) << " " << std::string(c.output) << ": f32 off by " << difference
                                  << ", cosine of int8 " << cosine);
      CHECK(difference <= kRelativeTolerance);
      CHECK(cosine >= kInt8Cosine);
    }
  }

  TEST_CASE("adapters of encoders give the logits of PEFT with the adapter attached") {
    for (const Case& c : kAdapterCases) {
      CAPTURE(std::string(c.name));
      const std::string io = DataPath(std::string("adapters/") + c.name + "/io.safetensors");
      const Numbers expected = ReadNumbers(io, c.expected);
      const std::string name = std::string("adapter-") + c.name;
      const Output output = Compute(name + "-f32", io, c);
      CHECK(output.shape == expected.shape);
      CHECK(LargestDifference(output.values, expected.values) <=
            kRelativeTolerance * LargestMagnitude(expected.values));
      CHECK(Cosine(Compute(name + "-int8", io, c).values, expected.values) >= kInt8Cosine);
    }
  }

  TEST_CASE("texts of several lengths, padded on either side, give what each gives alone") {
    constexpr size_t kLengths[] = {5, 24, 1, 17, 16, 50};
    constexpr int64_t kTokens = 50;
    constexpr int64_t kTexts = 6;
    for (const char* name : {"bert_encoder", "roberta_seqcls", "bert_tokencls"}) {
      for (const bool left : {false, true}) {
        CAPTURE(name);
        CAPTURE(left);
        const std::string output =
            std::string(name) == "bert_encoder" ? "sentence_embedding" : "logits";
        const ModelPtr model = OpenModel(std::string("architecture-") + name + "-f32");
        const SessionPtr session = NewSession(model.get());
        std::vector<int32_t> ids(kTexts * kTokens, kPadding);
        std::vector<int32_t> mask(kTexts * kTokens, 0);
        std::vector<std::vector<int32_t>> texts;
        for (size_t text = 0; text < kTexts; ++text) {
          std::vector<int32_t> own;
          for (size_t i = 0; i < kLengths[text]; ++i)
            own.push_back(static_cast<int32_t>(3 + (text * 31 + i * 7) % 120));
          const size_t first = left ? kTokens - own.size() : 0;
          for (size_t i = 0; i < own.size(); ++i) {
            ids[text * kTokens + first + i] = own[i];
            mask[text * kTokens + first + i] = 1;
          }
          texts.push_back(own);
        }
        const Output all =
            Forward(session.get(),
                    {TensorOf("input_ids", GRAFT_TYPE_I32, {kTexts, kTokens}, ids.data()),
                     TensorOf("attention_mask", GRAFT_TYPE_I32, {kTexts, kTokens}, mask.data())},
                    output);
        REQUIRE(all.shape[0] == kTexts);
        const size_t width = static_cast<size_t>(all.shape.back());
        const bool by_tokens = all.shape.size() == 3;
        for (size_t text = 0; text < kTexts; ++text) {
          const auto& own = texts[text];
          const Output alone = Forward(session.get(),
                                       {TensorOf("input_ids", GRAFT_TYPE_I32,
                                                 {static_cast<int64_t>(own.size())}, own.data())},
                                       output);
          const size_t first = left ? kTokens - own.size() : 0;
          const size_t at = by_tokens ? (text * kTokens + first) * width : text * width;
          for (size_t i = 0; i < alone.values.size(); ++i)
            REQUIRE(std::abs(all.values[at + i] - alone.values[i]) <= kSameTextTolerance);
        }
        // What is hidden is zeros.
        if (by_tokens) CHECK(all.values[(left ? 0 : kTokens - 1) * width] == 0.0f);
      }
    }
  }

  TEST_CASE("inputs that a model cannot take are refused by name") {
    const ModelPtr model = OpenModel("architecture-bert_seqcls-f32");
    const SessionPtr session = NewSession(model.get());
    std::vector<int32_t> ids(65, 5);
    const std::vector<int32_t> none(4, 0);
    const auto refused = [&](const std::vector<graft_tensor>& inputs, const char* needle) {
      const std::string message = FailureOf(session.get(), inputs);
      CHECK_MESSAGE(message.find(needle) != std::string::npos, message);
    };
    const auto tensor = [](const char* name, std::vector<int64_t> shape, const void* data) {
      return TensorOf(name, GRAFT_TYPE_I32, shape, data);
    };
    refused({tensor("input_ids", {65}, ids.data())}, "has positions for 64");
    ids[3] = 131;
    refused({tensor("input_ids", {1, 8}, ids.data())}, "token 3 of text 0 is id 131");
    ids[3] = -1;
    refused({tensor("input_ids", {1, 8}, ids.data())}, "is id -1");
    refused(
        {tensor("input_ids", {1, 4}, none.data()), tensor("attention_mask", {1, 4}, none.data())},
        "hides every token of text 0");
    refused({tensor("input_ids", {1, 4}, none.data()), tensor("attention_mask", {4}, none.data())},
            "of the same shape as the token ids");
    refused({tensor("ids", {1, 4}, none.data())}, "has no input ids");
    refused({tensor("input_ids", {1, 3}, none.data()), tensor("token_type_ids", {1, 3}, &ids[0])},
            "has type 5, the model has 2");

    const ModelPtr vision = OpenModel("architecture-vit-f32");
    const SessionPtr images = NewSession(vision.get());
    const std::vector<float> pixels(3 * 31 * 32);
    CHECK(FailureOf(images.get(),
                    {TensorOf("pixel_values", GRAFT_TYPE_F32, {3, 31, 32}, pixels.data())})
              .find("must have the shape [3, 32, 32], not [3, 31, 32]") != std::string::npos);
  }

  TEST_CASE("a model says what it takes and what its scores are called") {
    const ModelPtr model = OpenModel("architecture-bert_seqcls-f32");
    graft_tensor input = {};
    std::vector<std::string> names;
    for (size_t i = 0; graft_model_get_input(model.get(), i, &input, nullptr) == GRAFT_OK; ++i) {
      names.emplace_back(input.name);
      CHECK(input.rank == 2);
      CHECK(input.shape[1] == -1);
    }
    CHECK(names == std::vector<std::string>{"input_ids", "token_type_ids", "attention_mask"});
    const char* label = nullptr;
    REQUIRE(graft_model_get_label(model.get(), 2, &label, nullptr) == GRAFT_OK);
    CHECK(std::string(label) == "LABEL_2");
    CHECK(graft_model_get_label(model.get(), 3, &label, nullptr) == GRAFT_OUT_OF_RANGE);
    const ModelPtr vision = OpenModel("architecture-vit-f32");
    REQUIRE(graft_model_get_input(vision.get(), 0, &input, nullptr) == GRAFT_OK);
    CHECK(input.rank == 3);
    CHECK(input.shape[2] == 32);
  }
}

}  // namespace
}  // namespace graft::test
