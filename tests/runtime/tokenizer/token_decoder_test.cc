// SPDX-License-Identifier: Apache-2.0
// Streamed text: the same as all at once, whole characters at every step.
#include "runtime/tokenizer/token_decoder.h"

#include <random>

#include <doctest/doctest.h>

#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

constexpr char kVocab[] =
    R"({"▁a": 0, "b": 1, "▁": 2, "<0xE2>": 3, "<0x82>": 4, "<0xAC>": 5, "<0x41>": 6,
  "  ": 7, "é": 8, "▁▁": 9, "xy": 10, " x": 11, "x": 12, "y": 13, "": 14, "<0x-1>": 15, "<0x+1>": 16, "<s>": 17})";

TestTokenizer WithDecoder(const std::string& decoder) {
  return TestTokenizer::FromJson(BpeJson("\"decoder\": " + decoder + ",", kVocab, "[]"));
}

std::string Decode(const std::string& decoder, const Ids& ids) {
  return WithDecoder(decoder)->Decode(ids, false).value();
}

constexpr char kLlama[] = R"({"type": "Sequence", "decoders": [
  {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
  {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

TEST_SUITE("text/token_decoder") {
  TEST_CASE("without a decoder tokens are joined by spaces") {
    CHECK(
        TestTokenizer::FromJson(BpeJson("", kVocab, "[]"))->Decode(Ids{1, 10, 1}, false).value() ==
        "b xy b");
  }

  TEST_CASE("each decoder does what its name says") {
    CHECK(Decode(R"({"type": "Fuse"})", {0, 1}) == "▁ab");
    CHECK(Decode(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})",
                 {9, 1, 9, 0}) == "b   a");
    CHECK(Decode(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"})",
                 {0, 1, 0}) == " ab a");
    CHECK(Decode(R"({"type": "Replace", "pattern": {"String": "x"}, "content": "--"})",
                 {10, 1, 11}) == "--yb --");
    CHECK(Decode(R"({"type": "Replace", "pattern": {"Regex": "[xy]+"}, "content": "-"})",
                 {10, 12, 13}) == "---");
    CHECK(Decode(R"({"type": "Strip", "content": " ", "start": 1, "stop": 1})", {7, 11, 1}) ==
          "xb");
    CHECK(Decode(R"({"type": "ByteFallback"})", {1, 3, 4, 5, 1}) == "b€b");
  }

  TEST_CASE("a run of bytes that spells nothing is one U+FFFD for each") {
    const std::string bad = "\xEF\xBF\xBD";
    CHECK(Decode(R"({"type": "ByteFallback"})", {3, 4, 1}) == bad + bad + "b");
    // The whole run counts: the letter A in it is lost too.
    CHECK(Decode(R"({"type": "ByteFallback"})", {6, 3}) == bad + bad);
    CHECK(Decode(R"({"type": "ByteFallback"})", {6}) == "A");
  }

  TEST_CASE("tokens that only look like bytes are text") {
    CHECK(Decode(R"({"type": "ByteFallback"})", {15}) == "<0x-1>");
  }

  TEST_CASE("after Fuse the steps see one token, however it comes in parts") {
    CHECK(Decode(kLlama, {0, 1, 0}) == "ab a");
    CHECK(Decode(kLlama, {9, 1}) == " b");
    CHECK(Decode(kLlama, {14, 2, 2, 1}) == " b");
    CHECK(Decode(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                     {"type": "Strip", "content": " ", "start": 0, "stop": 2}]})",
                 {7, 1, 7, 7}) == "  b  ");
    CHECK(Decode(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                     {"type": "Replace", "pattern": {"String": "xyb"}, "content": "!"}]})",
                 {12, 13, 1, 12, 10, 1, 12}) == "!x!x");
    CHECK(Decode(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                     {"type": "Replace", "pattern": {"Regex": "x+y"}, "content": "!"}]})",
                 {12, 12, 13, 1}) == "!b");
  }

  TEST_CASE("every decoder streams what it decodes at once") {
    const char* decoders[] = {
        kLlama,
        R"({"type": "Fuse"})",
        R"({"type": "ByteFallback"})",
        R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"})",
        R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
            {"type": "Replace", "pattern": {"String": "xyx"}, "content": "é"},
            {"type": "Strip", "content": "b", "start": 2, "stop": 2}]})",
        R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"}]})",
    };
    std::mt19937 random(5);
    for (const char* decoder : decoders) {
      const TestTokenizer tokenizer = WithDecoder(decoder);
      for (int round = 0; round < 300; ++round) {
        Ids ids(random() % 20);
        for (int32_t& id : ids) id = static_cast<int32_t>(random() % 18);
        runtime::TextStream stream(*tokenizer, false);
        std::string streamed;
        for (const int32_t id : ids) {
          const size_t before = streamed.size();
          REQUIRE(stream.Append(id, &streamed).ok());
          CHECK(runtime::IsValidUtf8(std::string_view(streamed).substr(before)));
        }
        REQUIRE(stream.Finish(&streamed).ok());
        CHECK(streamed == tokenizer->Decode(ids, false).value());
      }
    }
  }

  TEST_CASE("byte-level tokens stream whole characters, wherever tokens cut them") {
    for (const char* name : {"gpt2", "smollm", "qwen3", "tales"}) {
      const TestTokenizer tokenizer = TestTokenizer::FromFolder(TokenizerFolder(name));
      for (const ReferenceText& text : ReadReferenceTexts(name)) {
        runtime::TextStream stream(*tokenizer, false);
        std::string streamed;
        for (const int32_t id : text.ids) {
          const size_t before = streamed.size();
          REQUIRE(stream.Append(id, &streamed).ok());
          REQUIRE(runtime::IsValidUtf8(std::string_view(streamed).substr(before)));
        }
        REQUIRE(stream.Finish(&streamed).ok());
        CHECK(streamed == text.decoded);
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
