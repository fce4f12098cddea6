// SPDX-License-Identifier: Apache-2.0
// WordPiece against its definition, with BERT's text rules around it, and words made to hurt.
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

/// tokenizer.json of a WordPiece over `vocab`, a JSON object, with `members` of the root in front.
std::string WordPieceJson(std::string_view members, std::string_view vocab,
                          std::string_view model_members = "") {
  std::string json = "{";
  json.append(members).append(R"("model": {"type": "WordPiece", "unk_token": "[UNK]", )");
  json.append(model_members).append("\"vocab\": ").append(vocab).append("}}");
  return json;
}

/// What the rule says, by trying every length.
std::vector<std::string> CutByDefinition(const std::string& word,
                                         const std::set<std::string>& tokens) {
  std::vector<std::string> pieces;
  for (size_t start = 0; start < word.size();) {
    size_t length = word.size() - start;
    const std::string before = start == 0 ? "" : "##";
    while (length > 0 && !tokens.contains(before + word.substr(start, length))) --length;
    if (length == 0) return {"[UNK]"};
    pieces.push_back(before + word.substr(start, length));
    start += length;
  }
  return pieces;
}

constexpr char kVocab[] =
    R"({"[UNK]": 0, "a": 1, "ab": 2, "##c": 3, "##cd": 4, "b": 5, "##b": 6, "é": 7, "e": 8,
        "中": 9, ".": 10, "##x": 11, "[CLS]": 12, "[SEP]": 13, "don": 14, "'": 15, "t": 16})";
constexpr char kBert[] =
    R"("normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
       "strip_accents": null, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
       "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},)";

TEST_SUITE("text/word_piece") {
  TEST_CASE("cuts random words as the definition says") {
    std::mt19937 random(3);
    for (int round = 0; round < 50; ++round) {
      std::set<std::string> tokens = {"[UNK]"};
      while (tokens.size() < 30) {
        std::string token = random() % 2 == 0 ? "" : "##";
        for (size_t letters = 1 + random() % 4; letters > 0; --letters) {
          token += static_cast<char>('a' + random() % 3);
        }
        tokens.insert(token);
      }
      std::string vocab;
      std::vector<std::string> texts;
      for (const std::string& token : tokens) {
        vocab.append(vocab.empty() ? "{" : ",").append("\"" + token + "\":");
        vocab.append(std::to_string(texts.size()));
        texts.push_back(token);
      }
      const TestTokenizer tokenizer = TestTokenizer::FromJson(WordPieceJson("", vocab + "}"));
      for (int word_round = 0; word_round < 40; ++word_round) {
        std::string word;
        for (size_t letters = 1 + random() % 12; letters > 0; --letters) {
          word += static_cast<char>('a' + random() % 3);
        }
        std::vector<std::string> pieces;
        const Ids ids = tokenizer->Encode(word, false).value();
        for (const int32_t id : ids) {
          pieces.push_back(texts[static_cast<size_t>(id)]);
        }
        CAPTURE(word);
        CHECK(pieces == CutByDefinition(word, tokens));
      }
    }
  }

  TEST_CASE("a word is unknown as a whole, and so is one with too many characters") {
    const TestTokenizer tokenizer =
        TestTokenizer::FromJson(WordPieceJson(kBert, kVocab, R"("max_input_chars_per_word": 4,)"));
    CHECK(tokenizer->Encode("abcd abz", false).value() == Ids{2, 4, 0});
    CHECK(tokenizer->Encode("abbb abbbb", false).value() == Ids{2, 6, 6, 0});
  }

  TEST_CASE("cleans, spaces ideographs, drops accents and lowers as BertNormalizer does") {
    const TestTokenizer tokenizer = TestTokenizer::FromJson(WordPieceJson(kBert, kVocab));
    CHECK(tokenizer->Encode("A\tB\x01\xC2\xAD.E\xCC\x81 \xC3\x89", false).value() ==
          Ids{1, 5, 10, 8, 8});
    CHECK(tokenizer->Encode("a中b", false).value() == Ids{1, 9, 5});
    const std::string cased =
        R"("normalizer": {"type": "BertNormalizer", "lowercase": false},
           "pre_tokenizer": {"type": "BertPreTokenizer"},)";
    CHECK(TestTokenizer::FromJson(WordPieceJson(cased, kVocab))->Encode("é A", false).value() ==
          Ids{7, 0});
  }

  TEST_CASE("joins continuing tokens, and tidies up as the decoder says") {
    const TestTokenizer tokenizer = TestTokenizer::FromJson(WordPieceJson(kBert, kVocab));
    CHECK(tokenizer->Decode(Ids{2, 4, 10, 5, 3}, false).value() == "abcd. bc");
    CHECK(tokenizer->Decode(Ids{3, 1}, false).value() == "##c a");
    const std::string plain = R"("decoder": {"type": "WordPiece", "prefix": "##",
                                  "cleanup": false},)";
    CHECK(
        TestTokenizer::FromJson(WordPieceJson(plain, kVocab))->Decode(Ids{2, 10}, false).value() ==
        "ab .");
  }

  TEST_CASE("takes words and vocabularies that are made to hurt in time") {
    // Tokens of every length up to the longest that fits: each start tries all of them.
    std::string vocab = R"({"[UNK]": 0, "##b": 1)";
    for (size_t length = 1; length <= 510; ++length) {
      const std::string letters(length, 'a');
      vocab += ",\"" + letters + "\":" + std::to_string(2 * length);
      vocab += ",\"##" + letters + "\":" + std::to_string(2 * length + 1);
    }
    const TestTokenizer tokenizer = TestTokenizer::FromJson(
        WordPieceJson("", vocab + "}", R"("max_input_chars_per_word": 65536,)"));
    std::string word(65535, 'a');
    const Ids ids = tokenizer->Encode(word, false).value();
    CHECK(ids.size() == (65535 + 509) / 510);
    word.back() = 'z';
    CHECK(tokenizer->Encode(word, false).value() == Ids{0});
    CHECK(tokenizer->Encode(word + "a", false).value() == Ids{0});
    CHECK(tokenizer->Encode(std::string(size_t{1} << 20, 'a'), false).value() == Ids{0});
  }
}

}  // namespace
}  // namespace graft::test
