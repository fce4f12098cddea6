// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/matcher.h"

#include <random>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/gbnf.h"
#include "tests/runtime/constrain/constrain_fixture.h"

namespace graft::test {
namespace {

using runtime::HasToken;
using runtime::Matcher;
using runtime::TokenMask;
using runtime::Vocabulary;

/// Every byte, and what a model of languages might have beside them.
std::vector<std::string> Texts() {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  texts[0] = std::string();  // a special token
  for (const char* text : {"ab",
                           "abc",
                           "a",
                           "\"a",
                           "\":",
                           "\", \"",
                           "{\"",
                           "\"}",
                           "name",
                           "\xC3\xA4",
                           "\xE2\x82",
                           "  ",
                           " a",
                           "12",
                           "123",
                           "3.14",
                           "true",
                           "null",
                           "abcdefghijklmnopqrstuvwxyz",
                           "x\"",
                           "\"]",
                           "[{\"",
                           "\\n",
                           "\\\"",
                           "\\u00",
                           "true}",
                           "\n  \"",
                           "a very long piece of text with \"",
                           "a very long piece of text with \"",
                           "a piece of text that is longer still, and ends with \", \"",
                           "\", \"name\": \"",
                           "z"}) {
    texts.emplace_back(text);
  }
  std::string wide;  // long in bytes, not in characters
  for (int i = 0; i < 12; ++i) wide += "\xE4\xB8\x80";
  texts.push_back(wide);
  return texts;
}

constexpr const char* kSchemas[] = {
    "true",
    R"({"type": "string"})",
    R"({"type": "string", "maxLength": 5})",
    R"({"type": "string", "minLength": 3, "maxLength": 40})",
    R"({"type": "string", "pattern": "^[a-c]+[0-9]?$"})",
    R"({"type": "string", "pattern": "b.d"})",
    R"({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer", "minimum": 3, "maximum": 120}}, "required": ["name"]})",
    R"({"type": "array", "items": {"enum": ["a", "ab", "abc", null, 12]}, "maxItems": 3})",
    R"({"anyOf": [{"type": "string", "maxLength": 3}, {"const": "abcdefgh"}, {"type": "number"}]})",
    // Strings of one kind in different places, of which some are about to be too long.
    R"({"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 60}})",
    R"({"type": "object", "properties": {"name": {"type": "string"}, "ab": {"type": "string"}, "x": {"type": "array", "items": {"type": "string", "pattern": "[a-z0-9 ]*"}}}})",
    R"({"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9 ,]+(name|[^a]*)$"}})",
    R"({"type": "object", "patternProperties": {"^a": {"type": "null"}}, "additionalProperties": {"type": "boolean"}})",
};

TEST_SUITE("text/constrain/matcher") {
  // The mask is held against the bytes of each token, tried one by one; and whatever is allowed can
  // be gone on from, so that walks end only where the text may end.
  TEST_CASE("masks hold just the tokens whose bytes the constraint allows") {
    const std::vector<std::string> texts = Texts();
    const Vocabulary vocabulary(texts, static_cast<uint32_t>(texts.size() + 3));
    std::mt19937 random(7);
    for (const char* schema : kSchemas) {
      CAPTURE(schema);
      auto grammar = runtime::CompileJsonSchema(schema, false);
      auto again = runtime::CompileJsonSchema(schema, false);
      REQUIRE(grammar.ok());
      REQUIRE(again.ok());
      Matcher matcher(std::move(*grammar), vocabulary);
      runtime::Recognizer bytes(std::move(*again));
      for (int round = 0; round < 4; ++round) {
        matcher.Restart();
        std::string text;
        for (int step = 0; step < 12; ++step) {
          CAPTURE(text);
          const auto mask = matcher.Mask();
          REQUIRE(mask.ok());
          std::vector<uint32_t> allowed;
          for (uint32_t id = 0; id < vocabulary.size(); ++id) {
            runtime::StateId state = bytes.start();
            for (const char c : text) state = bytes.Next(state, static_cast<uint8_t>(c));
            for (const char c : vocabulary.text(id)) {
              state = bytes.Next(state, static_cast<uint8_t>(c));
            }
            const bool is_allowed = !vocabulary.text(id).empty() && state != runtime::kDeadState;
            CHECK_MESSAGE(HasToken(**mask, id) == is_allowed, id);
            if (is_allowed) allowed.push_back(id);
          }
          if (allowed.empty()) {
            CHECK(matcher.MustEnd());
            break;
          }
          CHECK(!matcher.MustEnd());
          const uint32_t id = allowed[random() % allowed.size()];
          REQUIRE(matcher.AcceptToken(id));
          text += vocabulary.text(id);
        }
      }
    }
  }

  // All texts of a finite language are known, and so are their beginnings.
  TEST_CASE("what is allowed begins a text that satisfies the constraint") {
    const std::vector<std::string> texts = Texts();
    const Vocabulary vocabulary(texts, static_cast<uint32_t>(texts.size()));
    const std::vector<std::string> language = {"[]", "[12]", "[12,12]", "[ 12]"};
    auto grammar = runtime::CompileGbnf(R"(root ::= "[]" | "[12" (",12")? "]" | "[ 12]")");
    REQUIRE(grammar.ok());
    Matcher matcher(std::move(*grammar), vocabulary);
    for (const std::string& whole : language) {
      for (size_t cut = 0; cut <= whole.size(); ++cut) {
        matcher.Restart();
        const std::string prefix = whole.substr(0, cut);
        if (cut > 0) REQUIRE(matcher.AcceptText(prefix));
        const auto mask = matcher.Mask();
        REQUIRE(mask.ok());
        for (uint32_t id = 0; id < vocabulary.size(); ++id) {
          const std::string longer = prefix + std::string(vocabulary.text(id));
          const bool begins = std::ranges::any_of(
              language, [&](const std::string& text) { return text.starts_with(longer); });
          CHECK(HasToken(**mask, id) == (begins && !vocabulary.text(id).empty()));
        }
      }
    }
  }

  TEST_CASE("tells what must follow, and where the text ends") {
    const Vocabulary vocabulary(Texts(), 300);
    auto grammar = runtime::CompileJsonSchema(
        R"({"type": "object", "properties": {"name": {"const": true}}, "required": ["name"], "additionalProperties": false})",
        true);
    REQUIRE(grammar.ok());
    Matcher matcher(std::move(*grammar), vocabulary);
    bool ends = false;
    CHECK(matcher.ForcedText(100, &ends) == "{");
    REQUIRE(matcher.AcceptText("{\""));
    CHECK(matcher.ForcedText(100, &ends) == "name\":");
    CHECK(matcher.ForcedText(3, &ends) == "nam");
    REQUIRE(matcher.AcceptText("name\":t"));
    CHECK(matcher.ForcedText(100, &ends) == "rue");
    CHECK(!ends);
    REQUIRE(matcher.AcceptText("rue}"));
    CHECK(matcher.MustEnd());
    CHECK(!matcher.AcceptText(" "));
    const std::string_view choices[] = {"word"};
    auto one = runtime::CompileChoices(choices);
    REQUIRE(one.ok());
    Matcher single(std::move(*one), vocabulary);
    CHECK(single.ForcedText(100, &ends) == "word");
    CHECK(ends);
  }

  TEST_CASE("long texts stay within bounds") {
    const Vocabulary vocabulary(Texts(), 300);
    auto grammar = runtime::CompileJsonSchema(
        R"({"type": "array", "items": {"type": "string", "maxLength": 1000000}})", false);
    REQUIRE(grammar.ok());
    Matcher matcher(std::move(*grammar), vocabulary);
    REQUIRE(matcher.AcceptText("[\""));
    for (int i = 0; i < 30000; ++i) REQUIRE(matcher.AcceptText("abcdefghij"));
    CHECK(matcher.Mask().ok());
    REQUIRE(matcher.AcceptText("\"]"));
    CHECK(matcher.MustEnd());
  }

  TEST_CASE("a grammar that is ambiguous beyond all bounds fails, and does not hang") {
    const Vocabulary vocabulary(Texts(), 300);
    auto grammar = runtime::CompileGbnf("root ::= \"a\" root root root | \"a\" \"\"");
    REQUIRE(grammar.ok());
    Matcher matcher(std::move(*grammar), vocabulary);
    bool has_failed = false;
    for (int i = 0; i < 60 && !has_failed; ++i) {
      has_failed = !matcher.Mask().ok() || !matcher.AcceptText("a");
    }
    CHECK(has_failed);
  }
}

}  // namespace
}  // namespace graft::test
