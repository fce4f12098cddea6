// SPDX-License-Identifier: Apache-2.0
// GGUF files that llama.cpp's converter wrote compute what transformers computes of the models that
// it read, and cut texts as their own tokenizers do.
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

// Of the largest reference value.
constexpr double kRelativeTolerance = 1e-5;
constexpr size_t kComparedRows = 3;  // the last ones
const char* const kNames[] = {"llama", "llama3",     "qwen2",   "qwen3",     "smollm3", "granite",
                              "phi3",  "olmo2",      "gemma2",  "gemma3",    "gpt2",    "gptneox",
                              "bert",  "distilbert", "roberta", "xlmroberta"};
// Without tokenizers, but for Gemma 4.
const char* const kFamilies[] = {"arcee",
                                 "cohere",
                                 "cohere2",
                                 "ernie4_5",
                                 "exaone4",
                                 "gemma3n",
                                 "gemma4",
                                 "glm",
                                 "glm4",
                                 "gpt_bigcode",
                                 "granitemoe",
                                 "hunyuan",
                                 "lfm2",
                                 "lfm2_moe",
                                 "ministral3",
                                 "mixtral",
                                 "nemotron",
                                 "nomic_bert",
                                 "olmo",
                                 "olmo3",
                                 "olmoe",
                                 "phi",
                                 "qwen2_moe",
                                 "qwen3_moe",
                                 "seed_oss",
                                 "stablelm",
                                 "starcoder2",
                                 "qwen3_5",
                                 "gpt_oss",
                                 "mamba",
                                 "mamba2",
                                 "falcon_h1",
                                 "granite_hybrid",
                                 "granite_dense_hybrid",
                                 "granitemoeshared",
                                 "falcon",
                                 "falcon40",
                                 "bloom",
                                 "mpt",
                                 "modernbert",
                                 "modernbert_seqcls"};

// Those of the last tokens, or the scores of the whole text.
std::vector<float> LastRows(graft_session* session, const std::vector<int32_t>& ids) {
  const std::span<const graft_tensor> outputs = Forward(session, ids);
  for (const graft_tensor& output : outputs) {
    if (output.shape[0] != static_cast<int64_t>(ids.size())) continue;
    const auto* numbers = static_cast<const float*>(output.data);
    const auto width = static_cast<size_t>(output.shape[1]);
    return {numbers + (ids.size() - kComparedRows) * width, numbers + ids.size() * width};
  }
  REQUIRE(outputs.size() == 1);
  const auto* scores = static_cast<const float*>(outputs[0].data);
  return {scores, scores + outputs[0].shape[1]};
}

void CheckLogits(std::span<const char* const> names, const char* references) {
  const std::string file = DataPath(references);
  for (const std::string name : names) {
    CAPTURE(name);
    const ModelPtr model = OpenModel("gguf-" + name + "-f32");
    const SessionPtr session = NewSession(model.get());
    const Numbers expected = ReadNumbers(file, name + ".out");
    const auto rows = LastRows(session.get(), ReadNumbers(file, name + ".ids").ids());
    CHECK(LargestDifference(rows, expected.values) <=
          kRelativeTolerance * LargestMagnitude(expected.values));
  }
}

void CheckTokens(std::span<const char* const> names, const char* file) {
  const auto document = converter::JsonDocument::Read(DataPath(file));
  REQUIRE(document.ok());
  for (const std::string name : names) {
    const ModelPtr model = OpenModel("gguf-" + name + "-f32");
    const converter::JsonValue texts = (*document)->root().Find(name);
    REQUIRE(texts.size() > 10);
    for (size_t i = 0; i < texts.size(); ++i) {
      const std::string text(*texts.at(i).at(0).AsString());
      std::vector<int32_t> expected;
      for (size_t k = 0; k < texts.at(i).at(1).size(); ++k)
        expected.push_back(static_cast<int32_t>(*texts.at(i).at(1).at(k).AsInt()));
      std::vector<int32_t> ids(200);
      size_t count = 0;
      graft_error error = {};
      REQUIRE(graft_model_tokenize(model.get(), text.data(), text.size(), 1, ids.data(), ids.size(),
                                   &count, &error) == GRAFT_OK);
      ids.resize(count);
      CAPTURE(name);
      CAPTURE(text);
      CHECK(ids == expected);
    }
  }
}

TEST_SUITE("e2e/gguf") {
  TEST_CASE("every family computes what its own checkpoint does") {
    CheckLogits(kNames, "gguf/references.safetensors");
    CheckLogits(kFamilies, "gguf/families/references.safetensors");
  }

  TEST_CASE("texts become the ids of the model's own tokenizer") {
    CheckTokens(kNames, "gguf/tokens.json");
    constexpr const char* kWithTokenizer[] = {"gemma4"};
    CheckTokens(kWithTokenizer, "gguf/families/tokens.json");
  }
}

}  // namespace
}  // namespace graft::test
