// SPDX-License-Identifier: Apache-2.0
// Templates of known models against what transformers' apply_chat_template gives, byte for byte.
#include "runtime/chat/chat_template.h"

#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/json/json.h"

namespace graft::test {
namespace {

using runtime::ChatMessage;
using runtime::ChatOptions;
using runtime::ChatTemplate;
using runtime::ChatVariable;

std::string ReadData(const std::string& name) {
  return converter::ReadTextFile(std::string(GRAFT_TEST_DATA) + "/chat/" + name, 1 << 22).value();
}

/// Renders one row of references.jsonl and compares; returns whether the template refused it.
bool CheckRow(const converter::JsonValue& row) {
  const auto created =
      ChatTemplate::Create(ReadData(row.GetString("template").value() + ".jinja"),
                           row.GetString("bos").value(), row.GetString("eos").value());
  REQUIRE_MESSAGE(created.ok(), created.status().message());
  std::vector<ChatMessage> messages;
  const converter::JsonValue list = row.Find("messages");
  for (size_t i = 0; i < list.size(); ++i) {
    messages.push_back({list.at(i).Find("role").AsString().value(),
                        list.at(i).Find("content").AsString().value()});
  }
  std::vector<ChatVariable> variables;
  const converter::JsonValue given = row.Find("variables");
  for (size_t i = 0; i < given.size(); ++i) {
    variables.push_back({given.key(i), given.at(i).AsString().value()});
  }
  ChatOptions options;
  options.add_generation_prompt = row.GetBool("prompt").value();
  options.variables = variables;
  const Result<std::string> text = (*created)->Render(messages, options);
  if (row.Has("refused")) {
    CHECK(text.status().code() == StatusCode::kInvalidArgument);
    CHECK(text.status().message().find(row.GetString("refused").value()) != std::string_view::npos);
    return true;
  }
  REQUIRE_MESSAGE(text.ok(), text.status().message());
  CHECK(*text == row.GetString("text").value());
  return false;
}

std::string Rendered(const std::string& source) {
  const auto created = ChatTemplate::Create(source, "<s>", "</s>");
  if (!created.ok()) return std::string(created.status().message());
  const std::vector<ChatMessage> messages = {{"user", "hello"}};
  const Result<std::string> text = (*created)->Render(messages, {});
  return text.ok() ? *text : std::string(text.status().message());
}

TEST_SUITE("chat/template") {
  TEST_CASE("all templates give what apply_chat_template gives, or refuse what it refuses") {
    const std::string rows = ReadData("references.jsonl");
    std::map<std::string, int> rendered;
    std::map<std::string, int> refused;
    for (size_t at = 0; at < rows.size();) {
      const size_t end = rows.find('\n', at);
      const std::string line = rows.substr(at, end - at);
      at = end + 1;
      CAPTURE(line);
      const auto document = converter::JsonDocument::Parse(line, "references.jsonl");
      REQUIRE(document.ok());
      const std::string name = (*document)->root().GetString("template").value();
      ++(CheckRow((*document)->root()) ? refused : rendered)[name];
    }
    CHECK(rendered.size() == 13);
    for (const auto& [name, count] : rendered) {
      CAPTURE(name);
      CHECK(count + refused[name] >= 18);
      CHECK(count >= 4);
    }
  }

  TEST_CASE("tools, calls, results, documents and variables of any type") {
    const std::string rows = ReadData("tool_references.jsonl");
    std::map<std::string, int> rendered;
    int refused = 0;
    for (size_t at = 0; at < rows.size();) {
      const size_t end = rows.find('\n', at);
      const auto document =
          converter::JsonDocument::Parse(rows.substr(at, end - at), "tool_references");
      at = end + 1;
      const converter::JsonValue row = (*document)->root();
      const auto get = [&](const char* key) { return row.GetString(key).value(); };
      const std::string name = get("template");
      CAPTURE(name);
      const auto created = ChatTemplate::Create(ReadData(name + ".jinja"), "<s>", "</s>");
      REQUIRE_MESSAGE(created.ok(), created.status().message());
      const std::string texts[] = {get("messages"), get("tools"), get("documents"),
                                   get("variables")};
      ChatOptions options;
      options.messages_json = texts[0];
      options.tools_json = texts[1];
      options.documents_json = texts[2];
      options.variables_json = texts[3];
      const Result<std::string> text = (*created)->Render({}, options);
      if (row.Has("refused")) {
        ++refused;
        CHECK(!text.ok());
      } else {
        ++rendered[name];
        REQUIRE_MESSAGE(text.ok(), text.status().message());
        CHECK(*text == get("text"));
      }
    }
    CHECK(rendered.size() == 7);
    CHECK(refused == 2);
    for (const auto& [name, count] : rendered) CHECK_MESSAGE(count >= 3, name);
  }

  TEST_CASE("JSON for a template that is not what it must be is refused") {
    const auto created = ChatTemplate::Create("{{ messages|length }}{{ tools }}{{ x }}", "", "");
    const auto refused = [&](std::string_view ChatOptions::*json, std::string_view value,
                             const char* part) {
      ChatOptions options;
      options.*json = value;
      const Result<std::string> text = (*created)->Render({}, options);
      CHECK(text.status().code() == StatusCode::kInvalidArgument);
      CHECK_MESSAGE(text.status().message().find(part) != std::string_view::npos,
                    text.status().message());
    };
    refused(&ChatOptions::messages_json, "{}", "the list of messages is not one of objects");
    refused(&ChatOptions::messages_json, "[1]", "the list of messages is not one of objects");
    refused(&ChatOptions::messages_json, "", "the list of messages is not JSON");
    refused(&ChatOptions::tools_json, "[{\"a\": 1, \"a\": 2}]", "the list of tools is not JSON");
    refused(&ChatOptions::tools_json, "[\"\xFF\"]", "the list of tools is not UTF-8");
    refused(&ChatOptions::documents_json, "[[]]", "the list of documents is not one of objects");
    refused(&ChatOptions::variables_json, "[]", "the variables are not an object");
    refused(&ChatOptions::variables_json, "{\"x\": 9223372036854775808}", "exceeds 64 bits");
    const std::string deep(300, '[');
    refused(&ChatOptions::variables_json, deep, "nested deeper");
    ChatOptions good;
    good.messages_json = "[]";
    good.variables_json = R"({"x": [1, -0.5, 1e2, true, null, "y"]})";
    CHECK((*created)->Render({}, good).value() == "0None[1, -0.5, 100.0, True, None, 'y']");
  }

  TEST_CASE("tojson as transformers has it") {
    CHECK(Rendered("{{ {'b': 1, 'a': [1]}|tojson(separators=(',', ':'), sort_keys=true) }}") ==
          "{\"a\":[1],\"b\":1}");
    CHECK(Rendered("{{ '\xC3\xA9\xF0\x9F\x98\x80'|tojson(true) }}") == "\"\\u00e9\\ud83d\\ude00\"");
    CHECK(Rendered("{{ [1]|tojson(false, 1) }}{{ [1]|tojson(indent=none) }}") == "[\n 1\n][1]");
    CHECK(Rendered("{{ none|selectattr('a')|list }}{{ none|map('upper')|list }}") == "[][]");
  }

  TEST_CASE("a mistake in a template is named with its line") {
    CHECK(Rendered("a\n{% if x %}").find("line 2") != std::string::npos);
    CHECK(Rendered("{{ 'a }}").find("a string does not end") != std::string::npos);
    CHECK(Rendered("{{ 1 + }}").find("expected an expression") != std::string::npos);
    CHECK(Rendered("\n\n{% include 'x' %}").find("line 3: the statement \"include\"") !=
          std::string::npos);
    CHECK(Rendered("{% endif %}").find("line 1") != std::string::npos);
    CHECK(Rendered("{{ x | nope }}").find("line 1: the filter \"nope\"") != std::string::npos);
    CHECK(Rendered("{{ 1 is nope }}").find("the test \"nope\"") != std::string::npos);
    CHECK(Rendered("\n{{ missing.member }}").find("line 2: 'missing' is undefined") !=
          std::string::npos);
    CHECK(Rendered("{{ 'a' + 1 }}").find("str and int") != std::string::npos);
    CHECK(Rendered("{{ missing() }}").find("'missing'") != std::string::npos);
    CHECK(Rendered("{{ 1 // 0 }}").find("division by zero") != std::string::npos);
    CHECK(Rendered("{% set a.b = 1 %}").find("namespace") != std::string::npos);
    CHECK(Rendered("{% for a, b in [[1]] %}{% endfor %}").find("1 values for 2") !=
          std::string::npos);
  }

  TEST_CASE("what is undefined prints as nothing, and is false") {
    CHECK(Rendered("[{{ missing }}{{ messages[0].missing }}{{ messages[9] }}]") == "[]");
    CHECK(Rendered("{{ 'yes' if missing else 'no' }}") == "no");
  }

  TEST_CASE("strftime_now formats the time that is given") {
    const auto created = ChatTemplate::Create("{{ strftime_now('%Y') }}", "", "");
    ChatOptions options;
    options.now = 1'700'000'000;  // November 2023, wherever one is
    CHECK((*created)->Render({}, options).value() == "2023");
    CHECK((*created)->Render({}, {}).value() > "2023");
  }

  TEST_CASE("refuses text that is not valid UTF-8") {
    const auto created = ChatTemplate::Create("{{ messages[0].content }}", "", "");
    const std::vector<ChatMessage> messages = {{"user", "\xFF"}};
    CHECK((*created)->Render(messages, {}).status().code() == StatusCode::kInvalidArgument);
    CHECK(!ChatTemplate::Create("\xC0", "", "").ok());
  }
}

}  // namespace
}  // namespace graft::test
