// SPDX-License-Identifier: Apache-2.0
// Decoders that score or embed texts answer as transformers, PEFT and sentence-transformers do.
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

// Of the largest reference value.
constexpr double kRelativeTolerance = 1e-4;
// Padding behind a text, alone, before and within, and none.
constexpr int kScoredTexts = 7;
const std::vector<std::string> kTexts = {"abc", "z", "theabcdefghijklmnopqrstuvwxyz",
                                         "sphinxofblackquartz"};

std::vector<float> Scores(graft_session* session, const std::vector<int32_t>& ids) {
  const std::span<const graft_tensor> outputs = Forward(session, ids);
  REQUIRE(outputs.size() == 1);
  REQUIRE(outputs[0].shape[0] == 1);
  const auto* numbers = static_cast<const float*>(outputs[0].data);
  return {numbers, numbers + outputs[0].shape[1]};
}

std::vector<graft_text> Given(const std::vector<std::string>& texts) {
  std::vector<graft_text> given(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    given[i].text = texts[i].data();
    given[i].size = texts[i].size();
  }
  return given;
}

std::vector<float> Embed(graft_session* session, const std::vector<std::string>& texts) {
  const std::vector<graft_text> given = Given(texts);
  const float* embeddings = nullptr;
  size_t width = 0;
  graft_error error = {};
  REQUIRE_MESSAGE(graft_session_embed(session, given.data(), given.size(), &embeddings, &width,
                                      &error) == GRAFT_OK,
                  std::string(error.message));
  return {embeddings, embeddings + texts.size() * width};
}

TEST_SUITE("e2e/decoder_heads") {
  TEST_CASE("scores are those of the last token that is not padding") {
    for (const std::string name : {"llama_seqcls", "opt_seqcls", "qwen3_seqcls"}) {
      const std::string io = DataPath("architectures/" + name + "/io.safetensors");
      const ModelPtr model = OpenModel("architecture-" + name + "-f32");
      const SessionPtr session = NewSession(model.get());
      for (int text = 0; text < kScoredTexts; ++text) {
        CAPTURE(name);
        CAPTURE(text);
        const std::string number = std::to_string(text);
        const Numbers expected = ReadNumbers(io, "logits." + number);
        const auto scores = Scores(session.get(), ReadNumbers(io, "input_ids." + number).ids());
        CHECK(LargestDifference(scores, expected.values) <=
              kRelativeTolerance * LargestMagnitude(expected.values));
      }
    }
  }

  TEST_CASE("embeddings are those of sentence-transformers, together and alone") {
    for (const std::string name :
         {"qwen3_embedding", "mistral_embedding", "qwen3_embedding_lora"}) {
      CAPTURE(name);
      const Numbers expected =
          ReadNumbers(DataPath("architectures/" + name + "/io.safetensors"), "sentence_embedding");
      const ModelPtr model = OpenModel("architecture-" + name + "-f32");
      const SessionPtr session = NewSession(model.get());
      const std::vector<float> all = Embed(session.get(), kTexts);
      CHECK(LargestDifference(all, expected.values) <=
            kRelativeTolerance * LargestMagnitude(expected.values));
      const size_t width = all.size() / kTexts.size();
      const std::vector<float> alone = Embed(session.get(), {kTexts[1]});
      for (size_t i = 0; i < width; ++i) {
        CHECK(alone[i] == doctest::Approx(all[width + i]).epsilon(kRelativeTolerance));
      }
    }
  }

  TEST_CASE("several texts are scored like each alone, cut as the tokenizer says") {
    const ModelPtr model = OpenModel("architecture-llama_seqcls-f32");
    const SessionPtr session = NewSession(model.get());
    // Cut to four tokens, of which the last is </s>, the padding.
    const std::vector<std::string> texts = {"abc", "zzzzzzz", "q"};
    const std::vector<std::vector<int32_t>> ids = {{3, 4, 5}, {28, 28, 28}, {19}};
    const std::vector<graft_text> given = Given(texts);
    const float* scores = nullptr;
    size_t labels = 0;
    graft_error error = {};
    REQUIRE_MESSAGE(graft_session_classify(session.get(), given.data(), given.size(), &scores,
                                           &labels, &error) == GRAFT_OK,
                    std::string(error.message));
    REQUIRE(labels == 3);
    const std::vector<float> all(scores, scores + given.size() * labels);
    for (size_t text = 0; text < texts.size(); ++text) {
      std::vector<float> logits = Scores(session.get(), ids[text]);
      double total = 0.0;
      for (const float logit : logits) total += std::exp(static_cast<double>(logit));
      for (size_t label = 0; label < labels; ++label) {
        CHECK(all[text * labels + label] ==
              doctest::Approx(std::exp(static_cast<double>(logits[label])) / total));
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
