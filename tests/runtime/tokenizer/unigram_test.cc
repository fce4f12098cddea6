// SPDX-License-Identifier: Apache-2.0
// Unigram and charsmaps against what Hugging Face's tokenizers gives, against all ways there are,
// and bytes made to hurt.
#include <algorithm>
#include <limits>
#include <map>
#include <random>

#include <doctest/doctest.h>

#include "runtime/tokenizer/charsmap.h"
#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

void CheckRows(const std::string& name) {
  const TestTokenizer tokenizer = UnigramTokenizer(name);
  const std::vector<ReferenceText> texts = ReadReferenceRows("unigram/" + name + ".jsonl");
  CHECK(texts.size() == 39);
  for (const ReferenceText& text : texts) {
    CAPTURE(text.text);
    CHECK(tokenizer->Encode(text.text, false).value() == text.ids);
    CHECK(tokenizer->Encode(text.text, true).value() == text.ids_special);
    CHECK(tokenizer->Decode(text.ids, false).value() == text.decoded);
  }
}

std::string UnigramJson(const std::map<std::string, double>& tokens, int unknown = 0) {
  std::string json = R"({"model": {"type": "Unigram", "unk_id": )" + std::to_string(unknown) +
                     R"(, "vocab": [["<unk>", 0.0])";
  for (const auto& [token, score] : tokens) {
    json += ",[\"" + token + "\"," + std::to_string(score) + "]";
  }
  return json + "]}}";
}

/// The best total score of any way to cut `text` into tokens.
double BestByTrying(const std::string& text, const std::map<std::string, double>& tokens) {
  if (text.empty()) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (const auto& [token, score] : tokens) {
    if (!text.starts_with(token)) continue;
    best = std::max(best, score + BestByTrying(text.substr(token.size()), tokens));
  }
  return best;
}

TEST_SUITE("text/unigram") {
  TEST_CASE("with a charsmap and Metaspace, as T5 and XLM-R") { CheckRows("metaspace"); }
  TEST_CASE("falling back to bytes") { CheckRows("bytes"); }
  TEST_CASE("without a pre-tokenizer") { CheckRows("plain"); }

  TEST_CASE("finds the best of all ways") {
    std::mt19937 random(11);
    for (int round = 0; round < 30; ++round) {
      std::map<std::string, double> tokens = {{"a", -3}, {"b", -3}};
      while (tokens.size() < 12) {
        std::string token;
        for (size_t letters = 2 + random() % 3; letters > 0; --letters) token += "ab"[random() % 2];
        tokens.emplace(token, -1.0 - static_cast<double>(random() % 400) / 64);
      }
      std::vector<std::string> texts = {"<unk>"};
      for (const auto& [token, score] : tokens) texts.push_back(token);
      const TestTokenizer tokenizer = TestTokenizer::FromJson(UnigramJson(tokens));
      for (int word_round = 0; word_round < 10; ++word_round) {
        std::string word;
        for (size_t letters = 1 + random() % 12; letters > 0; --letters) word += "ab"[random() % 2];
        const Ids ids = tokenizer->Encode(word, false).value();
        std::string joined;
        double score = 0;
        for (const int32_t id : ids) {
          joined += texts[static_cast<size_t>(id)];
          score += tokens.at(texts[static_cast<size_t>(id)]);
        }
        CHECK(joined == word);
        CHECK(score == doctest::Approx(BestByTrying(word, tokens)));
      }
    }
  }

  TEST_CASE("an unknown character is an error where there is no token for it") {
    const std::string json = R"({"model": {"type": "Unigram", "vocab": [["a", -1.0]]}})";
    const TestTokenizer tokenizer = TestTokenizer::FromJson(json);
    CHECK(tokenizer->Encode("aa", false).value() == Ids{0, 0});
    CHECK(tokenizer->Encode("ab", false).status().code() == StatusCode::kFailedPrecondition);
  }

  TEST_CASE("bounds the memory and the time of one piece") {
    std::map<std::string, double> tokens;
    for (size_t length = 1; length <= 512; ++length) tokens[std::string(length, 'a')] = -1;
    const TestTokenizer tokenizer = TestTokenizer::FromJson(UnigramJson(tokens));
    CHECK(tokenizer->Encode(std::string(2048, 'a'), false)->size() == 4);
    const auto huge = tokenizer->Encode(std::string((size_t{16} << 20) + 1, 'a'), false);
    CHECK(huge.status().code() == StatusCode::kOutOfRange);
  }

  TEST_CASE("a text that its normalizer blows up is an error") {
    std::string steps;
    for (int i = 0; i < 40; ++i) {
      steps += steps.empty() ? "" : ",";
      steps += R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaa"})";
    }
    const TestTokenizer tokenizer = TestTokenizer::FromJson(
        R"({"normalizer": {"type": "Sequence", "normalizers": [)" + steps +
        R"(]}, "model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1.0]]}})");
    CHECK(tokenizer->Encode("a", false).status().code() == StatusCode::kCorrupt);
  }

  TEST_CASE("no charsmap makes a reader leave its bytes, and text stays text") {
    const TestTokenizer tokenizer = UnigramTokenizer("metaspace");
    const auto& original = *tokenizer.tables().normalizer()->Get(0)->charsmap();
    std::mt19937 random(5);
    int accepted = 0;
    for (int round = 0; round < 2000; ++round) {
      std::vector<uint8_t> bytes(original.begin(), original.end());
      if (round % 5 == 0) bytes.resize(random() % bytes.size());
      for (int i = 0; i < 1 + round % 4 && !bytes.empty(); ++i) {
        bytes[random() % bytes.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      }
      const auto map = runtime::Charsmap::Create(bytes);
      if (!map.ok()) continue;
      ++accepted;
      std::string text = "a\uFB01b \u2460\u2461\u3000e\u0301 \r\n\U0001F600 \u2103";
      if (map->Apply(1 << 20, &text).ok()) CHECK(runtime::IsValidUtf8(text));
    }
    CHECK(accepted > 200);
  }
}

}  // namespace
}  // namespace graft::test
