// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <random>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/gbnf.h"
#include "runtime/constrain/matcher.h"
#include "tests/runtime/constrain/constrain_fixture.h"

namespace graft::test {
namespace {

using runtime::Grammar;
using runtime::kDeadState;
using runtime::Matcher;
using runtime::Recognizer;
using runtime::StateId;
using runtime::Vocabulary;

/// The bytes of the shortest end, found by looking at all texts, short ones first.
uint32_t SearchedEnd(Recognizer* recognizer, StateId from) {
  std::map<StateId, uint32_t> depth = {{from, 0}};
  std::vector<StateId> open = {from};
  for (size_t i = 0; i < open.size(); ++i) {
    const StateId state = open[i];
    if (recognizer->IsAccepting(state)) return depth[state];
    for (unsigned byte = 0; byte < 256; ++byte) {
      const StateId next = recognizer->Next(state, static_cast<uint8_t>(byte));
      if (next == kDeadState || !depth.try_emplace(next, depth[state] + 1).second) continue;
      open.push_back(next);
    }
  }
  return runtime::kUnbounded;
}

/// Everywhere along texts that are drawn at random.
void CheckEnds(const char* constraint, Result<Grammar> grammar) {
  CAPTURE(constraint);
  REQUIRE_MESSAGE(grammar.ok(), grammar.status().message());
  Recognizer recognizer(std::move(*grammar));
  std::mt19937 random(1);
  for (int text = 0; text < 4; ++text) {
    StateId state = recognizer.start();
    for (int step = 0; step < 12; ++step) {
      const uint32_t bytes = recognizer.ShortestEnd(state);
      CHECK(bytes == SearchedEnd(&recognizer, state));
      const int byte = recognizer.ByteToEnd(state);
      CHECK((byte < 0) == (bytes == 0));
      if (byte >= 0) {
        const StateId next = recognizer.Next(state, static_cast<uint8_t>(byte));
        CHECK(recognizer.ShortestEnd(next) == bytes - 1);
      }
      StateId next = kDeadState;
      for (int i = 0; i < 400 && next == kDeadState; ++i) {
        next = recognizer.Next(state, static_cast<uint8_t>(random() % 128));
      }
      if (next == kDeadState) break;
      state = next;
    }
  }
  CHECK(!recognizer.overflowed());
}

TEST_SUITE("text/constrain/shortest_end") {
  TEST_CASE("a state knows the shortest end of its text") {
    for (
        const char* schema :
        {R"({"enum": ["a", "bcd", 12]})", R"({"type": "string", "minLength": 2, "maxLength": 9})",
         R"({"type": "integer", "minimum": 12, "maximum": 3456})",
         R"({"type": "number", "multipleOf": 0.25, "minimum": 1.5, "maximum": 2.5})",
         R"({"type": "string", "pattern": "^[a-c]+-[0-9]{2}$", "minLength": 6})",
         R"({"type": "string", "format": "ipv4"})",
         R"({"type": "array", "items": {"type": "boolean"}, "minItems": 2})",
         R"({"type": "array", "items": {"enum": [1, 22, 333]}, "minItems": 2, "uniqueItems": true})",
         R"({"type": "object", "properties": {"a": {"enum": [true]}, "b": {"enum": [10, 2]}}, "required": ["b"], "additionalProperties": false})",
         R"({"type": "object", "properties": {"a": {"const": 1}, "bb": {"const": 2}}, "minProperties": 2, "additionalProperties": false})",
         R"({"type": "object", "properties": {"aaaaaa": {"const": 1}, "b": {"const": 2}}, "minProperties": 2, "maxProperties": 3, "additionalProperties": {"const": 5}})",
         R"({"type": "array", "items": {"$ref": "#"}, "maxItems": 1})"}) {
      CheckEnds(schema, runtime::CompileJsonSchema(schema, false));
      CheckEnds(schema, runtime::CompileJsonSchema(schema, true));
    }
    for (const char* regex : {"abc|de*f", "(?=[a-z]*x)[a-y]{3,5}", "[^a]{3}", "a{2,}b?"}) {
      CheckEnds(regex, runtime::CompileRegex(regex));
    }
    const char* const grammar =
        "root ::= \"(\" root \")\" | pair{2,3}\npair ::= [a-c] (\"=\" [0-9]+)?";
    CheckEnds(grammar, runtime::CompileGbnf(grammar));
  }

  TEST_CASE("the end of an object of many members is found in steps that grow with them") {
    constexpr size_t kCount = 4000;
    std::string properties;
    std::string names;
    size_t bytes = 2 + kCount - 1;  // braces and commas
    for (size_t i = 0; i < kCount; ++i) {
      const std::string name = "\"k" + std::to_string(i) + "\"";
      const char* const comma = i == 0 ? "" : ",";
      properties.append(comma).append(name).append(R"(:{"const":1})");
      names.append(comma).append(name);
      bytes += name.size() + 2;  // a colon and 1
    }
    const std::string schema = R"({"type":"object","properties":{)" + properties +
                               R"(},"required":[)" + names + R"(],"additionalProperties":false})";
    auto grammar = runtime::CompileJsonSchema(schema, false);
    REQUIRE_MESSAGE(grammar.ok(), grammar.status().message());
    Recognizer recognizer(std::move(*grammar));
    constexpr uint64_t kSteps = 2000000;  // of 4000 times 4000
    StateId state = recognizer.start();
    recognizer.Allow(kSteps);
    CHECK(recognizer.ShortestEnd(state) == bytes);
    size_t read = 0;
    for (const char byte : std::string_view(R"({"k17":1,"k9)")) {
      recognizer.Allow(kSteps);
      state = recognizer.Next(state, static_cast<uint8_t>(byte));
      REQUIRE(state != kDeadState);
      CHECK(recognizer.ShortestEnd(state) == bytes - ++read);
    }
    CHECK(!recognizer.overflowed());
  }

  TEST_CASE("an end is put together from as few tokens as there can be") {
    std::vector<std::string> texts;
    for (const char* text :
         {"{", "}", "\"", "n", "a", "m", "e", ":", "1", "\"name", "\":", "{\"", "me\":", "1}"}) {
      texts.emplace_back(text);
    }
    const auto size = static_cast<uint32_t>(texts.size());
    const Vocabulary vocabulary(texts, size);
    CHECK(vocabulary.FewestTokens("{\"name\":1}") == std::vector<int32_t>{13, 10, 9, 0});
    CHECK(vocabulary.FewestTokens("x").empty());
    CHECK(vocabulary.FewestTokens("").empty());
    auto grammar = runtime::CompileJsonSchema(
        R"({"properties": {"name": {"const": 1}}, "required": ["name"], "type": "object", "additionalProperties": false})",
        false);
    REQUIRE(grammar.ok());
    Matcher matcher(std::move(*grammar), vocabulary);
    CHECK(!matcher.CanEnd("", 3));
    CHECK(matcher.CanEnd("", 4));
    CHECK(matcher.CanEnd("{\"na", 2));
    CHECK(!matcher.CanEnd("{\"na", 1));
    REQUIRE(matcher.AcceptText("{\"name\":1}"));
    CHECK(matcher.PlanEnd().empty());
    CHECK(matcher.CanEnd("", 0));
  }
}

}  // namespace
}  // namespace graft::test
