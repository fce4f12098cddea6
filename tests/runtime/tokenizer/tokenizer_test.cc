// SPDX-License-Identifier: Apache-2.0
// Whole tokenizers against what Hugging Face's tokenizers gives, and texts made to hurt.
#include "runtime/tokenizer/tokenizer.h"

#include <random>
#include <thread>

#include <doctest/doctest.h>

#include "tests/runtime/tokenizer/text_fixture.h"
#include "tests/support/slow_here.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

void CheckAllTexts(const std::string& name) {
  const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder(name));
  const std::vector<ReferenceText> texts = ReadReferenceTexts(name);
  CHECK(texts.size() == 390);
  for (const ReferenceText& text : texts) {
    CAPTURE(text.text);
    CHECK(tokenizer->Encode(text.text, false).value() == text.ids);
    CHECK(tokenizer->Encode(text.text, true).value() == text.ids_special);
    CHECK(tokenizer->Decode(text.ids, false).value() == text.decoded);
  }
}

TEST_SUITE("text/tokenizer") {
  TEST_CASE("gives gpt2's ids and texts") { CheckAllTexts("gpt2"); }
  TEST_CASE("gives bert's ids and texts") { CheckAllTexts("bert"); }
  TEST_CASE("gives smollm's ids and texts") { CheckAllTexts("smollm"); }
  TEST_CASE("gives qwen3's ids and texts") { CheckAllTexts("qwen3"); }
  TEST_CASE("gives stories260k's ids and texts") { CheckAllTexts("stories260k"); }
  TEST_CASE("gives tales' ids and texts") { CheckAllTexts("tales"); }

  TEST_CASE("gives the same ids with its cache as without") {
    for (const char* name : {"gpt2", "stories260k"}) {
      const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder(name));
      // Pieces do not reach over line breaks in gpt2, so the texts' ids follow one another there.
      std::string joined;
      for (const ReferenceText& text : ReadReferenceTexts(name)) joined += text.text;
      const Ids cold = tokenizer->Encode(joined, false).value();  // fills the cache
      const Ids warm = tokenizer->Encode(joined, false).value();
      CHECK(cold == warm);
      CHECK(tokenizer->Decode(warm, false).value().size() > joined.size() / 2);
      for (const ReferenceText& text : ReadReferenceTexts(name)) {
        CHECK(tokenizer->Encode(text.text, false).value() == text.ids);
      }
    }
  }

  TEST_CASE("serves several threads at once") {
    const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder("qwen3"));
    const std::vector<ReferenceText> texts = ReadReferenceTexts("qwen3");
    std::vector<int> wrong(4, 0);
    std::vector<std::thread> threads;
    for (int& count : wrong) {
      threads.emplace_back([&] {
        for (const ReferenceText& text : texts) {
          if (tokenizer->Encode(text.text, false).value() != text.ids) ++count;
          if (tokenizer->Decode(text.ids, false).value() != text.decoded) ++count;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == std::vector<int>(4, 0));
  }

  TEST_CASE("takes a million equal letters, spaces or newlines as one would expect") {
    constexpr size_t kBytes = size_t{1} << (kIsSlow ? 16 : 20);
    for (const char* name : {"gpt2", "smollm", "qwen3", "stories260k", "tales"}) {
      const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder(name));
      for (const char c : {'a', ' ', '\n', '\'', '!', '7'}) {
        CAPTURE(name);
        CAPTURE(c);
        const std::string text(kBytes, c);
        const auto ids = tokenizer->Encode(text, false);
        REQUIRE_MESSAGE(ids.ok(), ids.status().message());
        CHECK(tokenizer->Decode(*ids, false).value() == text);
      }
    }
  }

  TEST_CASE("reads bytes that are not valid UTF-8 as U+FFFD") {
    const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder("gpt2"));
    const auto ids = tokenizer->Encode("a\xFF\xE2\x96z\xC0\x80", false).value();
    CHECK(tokenizer->Decode(ids, false).value() ==
          "a\xEF\xBF\xBD\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  }

  TEST_CASE("survives random bytes and decodes what it encoded") {
    std::mt19937 random(7);
    for (const char* name : {"gpt2", "qwen3", "stories260k"}) {
      const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder(name));
      for (int round = 0; round < 300; ++round) {
        std::string text(random() % 60, '\0');
        for (char& c : text) c = static_cast<char>(random());
        const auto ids = tokenizer->Encode(text, false).value();
        CHECK(tokenizer->Decode(ids, false).value() == runtime::RepairUtf8(text));
      }
    }
  }

  TEST_CASE("gives no ids for no text, and the special ones if asked") {
    const TestTokenizer stories = TestTokenizer::FromFolder(TokenizerFolder("stories260k"));
    CHECK(stories->Encode("", false).value().empty());
    CHECK(stories->Encode("", true).value() == Ids{1});
    CHECK(stories->Decode({}, false).value().empty());
  }

  TEST_CASE("leaves special tokens out of text on request") {
    const TestTokenizer qwen = TestTokenizer::FromFolder(TokenizerFolder("qwen3"));
    const auto ids = qwen->Encode("<|im_start|>hi<|im_end|>", false).value();
    CHECK(ids.front() == 151644);
    CHECK(qwen->Decode(ids, false).value() == "<|im_start|>hi<|im_end|>");
    CHECK(qwen->Decode(ids, true).value() == "hi");
  }

  TEST_CASE("knows no text for ids beyond its tokens, and refuses negative ones") {
    const TestTokenizer tales = TestTokenizer::FromFolder(TokenizerFolder("tales"));
    CHECK(tales->Decode(Ids{2047, 2048, 1 << 30}, false).value() ==
          tales->Decode(Ids{2047}, false).value());
    CHECK(tales->Decode(Ids{-1}, false).status().code() == StatusCode::kOutOfRange);
  }

  constexpr char kWordVocab[] =
      R"({"a": 0, "b": 1, " ": 2, "<x>": 3, "<y>": 4, "<xx>": 5, "A": 6, "<Z>": 7})";

  std::string Added(const char* content, int id, const char* flags) {
    return std::string(R"("added_tokens": [{"content": ")") + content +
           "\", \"id\": " + std::to_string(id) + ", \"special\": true" + flags + "}],";
  }

  TEST_CASE("finds added tokens as their flags say") {
    const auto encode = [](const std::string& members, const char* text) {
      return TestTokenizer::FromJson(BpeJson(members, kWordVocab, "[]"))
          ->Encode(text, false)
          .value();
    };
    CHECK(encode(Added("<x>", 3, ""), "a<x> b") == Ids{0, 3, 2, 1});
    CHECK(encode(Added("<x>", 3, R"(, "lstrip": true)"), "a  <x> b") == Ids{0, 3, 2, 1});
    CHECK(encode(Added("<x>", 3, R"(, "rstrip": true)"), "a <x>  b") == Ids{0, 2, 3, 1});
    CHECK(encode(Added("b", 1, R"(, "single_word": true)"), "ab b") == Ids{0, 1, 2, 1});
    CHECK(encode(Added("ab", 5, R"(, "single_word": true)"), "ab aba ab") ==
          Ids{5, 2, 0, 1, 0, 2, 5});
    // The longest wins where several start; what was matched is not looked at again.
    CHECK(encode(R"("added_tokens": [{"content": "aa", "id": 5, "special": true},
                     {"content": "aab", "id": 4, "special": true}],)",
                 "aaabaa") == Ids{5, 0, 1, 5});
  }

  TEST_CASE("looks for normalized added tokens in normalized text only") {
    const std::string lower = R"("normalizer": {"type": "Lowercase"},)";
    const auto encode = [&](const char* flags, const char* text) {
      const std::string json = BpeJson(lower + Added("<Z>", 7, flags), kWordVocab, "[]");
      return TestTokenizer::FromJson(json)->Encode(text, false).value();
    };
    CHECK(encode(R"(, "normalized": true)", "a<z>A<Z>") == Ids{0, 7, 0, 7});
    CHECK(encode(R"(, "normalized": false)", "AA<Z>") == Ids{0, 0, 7});
  }

  TEST_CASE("a normalized added token reads as what it was looked for as") {
    const std::string json =
        BpeJson(R"("normalizer": {"type": "Lowercase"}, "decoder": {"type": "Fuse"},)" +
                    Added("<Z>", 7, R"(, "normalized": true)"),
                kWordVocab, "[]");
    const TestTokenizer tokenizer = TestTokenizer::FromJson(json);
    CHECK(tokenizer->Decode(Ids{0, 7, 1}, false).value() == "a<z>b");
    CHECK(tokenizer->Decode(Ids{0, 7, 1}, true).value() == "ab");
  }

  TEST_CASE("an added token that the vocabulary lacks is found as such only") {
    const std::string json = BpeJson(Added("ab", 8, R"(, "single_word": true)"), kWordVocab, "[]",
                                     R"("ignore_merges": true,)");
    CHECK(TestTokenizer::FromJson(json)->Encode("ab", false).value() == Ids{8});
    // Part of a longer word it is no token, though the piece is just "ab" between the others.
    const std::string split = BpeJson(
        R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "A"}, "behavior": "Isolated"},)" +
            Added("ab", 8, R"(, "single_word": true)"),
        kWordVocab, "[]", R"("ignore_merges": true,)");
    CHECK(TestTokenizer::FromJson(split)->Encode("AabA", false).value() == Ids{6, 0, 1, 6});
  }

  TEST_CASE("normalizes as each step says") {
    const auto text_of = [](const char* normalizer, const char* text) {
      std::string vocab = "{";
      for (int c = 0x20; c < 0x7F; ++c) {
        const std::string name =
            c == '"' || c == '\\' ? std::string("\\") + char(c) : std::string(1, char(c));
        vocab += "\"" + name + "\": " + std::to_string(c) + ", ";
      }
      vocab += R"("é": 1, "́": 2, "i̇": 3, "ﬁ": 4})";
      const std::string json = BpeJson(
          std::string("\"normalizer\": ") + normalizer + R"(, "decoder": {"type": "Fuse"},)", vocab,
          "[]");
      const TestTokenizer tokenizer = TestTokenizer::FromJson(json);
      return tokenizer->Decode(tokenizer->Encode(text, false).value(), false).value();
    };
    CHECK(text_of(R"({"type": "NFC"})", "e\u0301") == "é");
    CHECK(text_of(R"({"type": "NFD"})", "é") == "e\u0301");
    CHECK(text_of(R"({"type": "NFC"})", "ﬁ") == "ﬁ");
    CHECK(text_of(R"({"type": "NFKC"})", "ﬁe\u0301") == "fié");
    CHECK(text_of(R"({"type": "NFKD"})", "ﬁé") == "fie\u0301");
    CHECK(text_of(R"({"type": "Lowercase"})", "ABÉ") == "abé");
    CHECK(text_of(R"({"type": "Prepend", "prepend": "_"})", "a b") == "_a b");
    CHECK(text_of(R"({"type": "Replace", "pattern": {"String": " "}, "content": "__"})", "a b ") ==
          "a__b__");
    CHECK(text_of(R"({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": "_"})",
                  "a  b\t c") == "a_b_c");
    CHECK(text_of(R"({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "-"})", "axxb") ==
          "-a-b-");
    CHECK(text_of(R"({"type": "Strip", "strip_left": true, "strip_right": false})", "  a ") ==
          "a ");
    CHECK(text_of(R"({"type": "Sequence", "normalizers": [{"type": "Strip"},
                      {"type": "Prepend", "prepend": "<"}, {"type": "Lowercase"}]})",
                  " AB ") == "<ab");
  }

  TEST_CASE("refuses a text that a pattern cannot finish in bounds, rather than hang") {
    const std::string evil = BpeJson(
        R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?:(?:a+)+)+b|(?:a|aa)+$x"},
            "behavior": "Isolated"},)",
        R"({"a": 0})", "[]");
    const TestTokenizer tokenizer = TestTokenizer::FromJson(evil);
    const auto ids = tokenizer->Encode(std::string(20000, 'a'), false);
    REQUIRE(!ids.ok());
    CHECK(ids.status().code() == StatusCode::kCorrupt);
    CHECK(ids.status().message().find("pattern") != std::string_view::npos);
  }
}

}  // namespace
}  // namespace graft::test
