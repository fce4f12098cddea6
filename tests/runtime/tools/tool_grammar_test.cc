// SPDX-License-Identifier: Apache-2.0
// Calls that a tool's schema allows, in each family's form.
#include "runtime/tools/tool_grammar.h"

#include <doctest/doctest.h>

#include "runtime/tools/call_body.h"
#include "tests/runtime/constrain/constrain_fixture.h"

namespace graft::test {
namespace {

using runtime::CompileTools;
using runtime::FindReplyFormat;
using runtime::ToolSet;

constexpr std::string_view kTools =
    R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
      "a": {"type": "string", "maxLength": 3}, "b": {"$ref": "#/$defs/n"}, "c": {"type": "boolean"}, "e": {"enum": ["x", "y"]}},
      "required": ["a"], "additionalProperties": false, "$defs": {"n": {"type": "integer", "minimum": 5}}}}}, {"name": "g"}])";

void Check(std::string_view format, const std::vector<std::string>& good,
           const std::vector<std::string>& bad, std::string_view tools = kTools,
           std::string_view schema = "") {
  CAPTURE(format);
  const ToolSet set = ToolSet::Parse(tools).value();
  CheckTexts({std::string(format), good, bad},
             CompileTools(set, *FindReplyFormat(format), /*in_order=*/false, schema));
  if (!schema.empty()) return;
  for (const std::string& text : good) {  // what is allowed is read
    const std::string_view close = FindReplyFormat(format)->close;
    std::vector<runtime::ToolCall> calls;
    CHECK_MESSAGE(runtime::ReadCalls(std::string_view(text).substr(0, text.size() - close.size()),
                                     FindReplyFormat(format)->quote, &set, &calls),
                  text);
  }
}

TEST_SUITE("text/tool_grammar") {
  TEST_CASE("JSON between marks") {
    Check("hermes",
          {"\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}\n</tool_call>",
           "\n{\"name\": \"f\", \"arguments\": {\"b\": 5, \"a\": \"</\"}}\n</tool_call>",
           "\n{\"name\":\"g\",\"arguments\":{}}\n</tool_call>"},
          {"\n{\"name\": \"h\", \"arguments\": {}}\n</tool_call>",
           "\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>",
           "\n{\"name\": \"f\", \"arguments\": {\"a\": \"long\"}}\n</tool_call>",
           "\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"b\": 4}}\n</tool_call>",
           "\n{\"name\": \"g\", \"arguments\": {\"a\": \"x\"}}\n</tool_call>",
           "\n{\"name\": \"g\", \"arguments\": {}}"});
    Check("llama", {"{\"name\": \"f\", \"parameters\": {\"a\": \"x\", \"c\": true}}"},
          {"{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}"});
    Check("mistral",
          {"[{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}]",
           " [{\"name\": \"g\", \"arguments\": {}, \"id\": \"abcDEF123\"}, {\"name\": \"g\", "
           "\"arguments\": {}}]"},
          {"[]", "{\"name\": \"g\", \"arguments\": {}}",
           "[{\"name\": \"g\", \"arguments\": {}, \"id\": \"ab\"}]"});
    Check("mistral-args", {"f[ARGS]{\"a\": \"x\"}", "g[CALL_ID]abcDEF123[ARGS]{}"},
          {"f[ARGS]{}", "h[ARGS]{}"});
    Check("phi", {"[{\"name\": \"g\", \"arguments\": {}}]<|/tool_call|>"},
          {"[{\"name\": \"g\", \"arguments\": {}}]"});
  }

  TEST_CASE("other forms") {
    Check("lfm2",
          {"[f(a=\"x\")]<|tool_call_end|>", "[f(c=True, a=\"\", b=17), g()]<|tool_call_end|>",
           "[f(a=\"x\", e=\"y\")]<|tool_call_end|>"},
          {"[f()]<|tool_call_end|>", "[f(a=\"xxxx\")]<|tool_call_end|>",
           "[f(a=\"x\", b=4)]<|tool_call_end|>", "[f(a=\"x\", z=4)]<|tool_call_end|>",
           "[f(a=\"x\", a=\"y\")]<|tool_call_end|>"});
    Check("functiongemma",
          {"call:f{a:<escape>x<escape>}<end_function_call>",
           "call:f{b:5,a:<escape><es<escape>,e:<escape>y<escape>,c:false}<end_function_call>",
           "call:g{}<end_function_call>"},
          {"call:f{}<end_function_call>", "call:f{a:<escape>xxxx<escape>}<end_function_call>",
           "call:f{a:x}<end_function_call>",
           "call:f{a:<escape>x<escape>,e:<escape>z<escape>}<end_function_call>"});
    Check("qwen-coder",
          {"\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=b>\n7\n</parameter>\n</"
           "function>\n</tool_call>",
           "\n<function=g>\n</function>\n</tool_call>"},
          {"\n<function=f>\n</function>\n</tool_call>",
           "\n<function=f>\n<parameter=a>\nxxxx\n</parameter>\n</function>\n</tool_call>"});
    Check("glm",
          {"f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>", "g\n</tool_call>"},
          {"f\n</tool_call>", "h\n</tool_call>"});
    Check("olmo", {"f(a=\"x\")\ng()</function_calls>"}, {"f(a=\"x\"), g()</function_calls>"});
  }

  TEST_CASE("texts and lists within braces") {
    constexpr std::string_view kNested =
        R"([{"name": "f", "parameters": {"properties": {"l": {"type": "array", "items": {"type": "string", "pattern": "^[ab]+$"}, "minItems": 1, "maxItems": 2},
          "o": {"type": "object", "properties": {"k": {"const": "v", "type": "string"}, "n": {"type": "number"}}, "required": ["k"]}}}}])";
    Check("gemma4",
          {"call:f{l:[<|\"|>ab<|\"|>],o:{k:<|\"|>v<|\"|>,n:-1.5}}<tool_call|>",
           "call:f{l:[<|\"|>a<|\"|>,<|\"|>b<|\"|>]}<tool_call|>", "call:f{}<tool_call|>"},
          {"call:f{l:[]}<tool_call|>", "call:f{l:[<|\"|>c<|\"|>]}<tool_call|>",
           "call:f{o:{}}<tool_call|>",
           "call:f{l:[<|\"|>a<|\"|>,<|\"|>b<|\"|>,<|\"|>a<|\"|>]}<tool_call|>"},
          kNested);
  }

  TEST_CASE("what a schema leaves open, in forms that are not JSON") {
    constexpr std::string_view kOpen =
        R"([{"name": "f", "parameters": {"properties": {"a": {}, "b": {"enum": [1, "x", null]}, "c": {"type": ["string", "null"]},
          "d": {"type": "array"}, "e": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer", "minimum": 5}}}}])";
    Check("functiongemma",
          {"call:f{a:<escape>\"}<escape>}<end_function_call>",
           "call:f{a:-1.5,b:1}<end_function_call>",
           "call:f{b:<escape>x<escape>,c:null,d:<escape>[<escape>,e:7}<end_function_call>"},
          {"call:f{a:\"x\"}<end_function_call>", "call:f{b:2}<end_function_call>",
           "call:f{b:x}<end_function_call>", "call:f{e:4}<end_function_call>"},
          kOpen);
    Check("qwen-coder",
          {"\n<function=f>\n<parameter=a>\n<b>\n\n</parameter>\n</function>\n</tool_call>",
           "\n<function=f>\n<parameter=b>\nx\n</parameter>\n<parameter=e>\n5\n</parameter>\n</"
           "function>\n</tool_call>"},
          {"\n<function=f>\n<parameter=b>\ny\n</parameter>\n</function>\n</tool_call>",
           "\n<function=f>\n<parameter=a>\n</function>\n</parameter>\n</function>\n</tool_call>"},
          kOpen);
    const ToolSet odd =
        ToolSet::Parse(R"([{"name": "f", "parameters": {"properties": {"a=b": {}}}}])").value();
    CheckRefused(CompileTools(odd, *FindReplyFormat("lfm2"), false, ""), StatusCode::kUnsupported,
                 "\"a=b\"");
    CHECK(CompileTools(odd, *FindReplyFormat("hermes"), false, "").ok());
  }

  TEST_CASE("a call, or an answer that is JSON") {
    Check(
        "hermes",
        {"<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>", "{\"t\": 1}",
         "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": "
         "\"g\", \"arguments\": {}}\n</tool_call>"},
        {"", "text", "{}",
         "{\"t\": 1}<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"},
        kTools,
        R"({"type": "object", "properties": {"t": {"type": "integer"}}, "required": ["t"], "additionalProperties": false})");
    Check("llama", {"{\"name\": \"g\", \"parameters\": {}}", "[1]"}, {"[\"1\"]", "{}"}, kTools,
          R"({"type": "array", "items": {"type": "integer"}})");
  }

  TEST_CASE("a schema that cannot be held is refused, with the tool's name") {
    Check("hermes", {"\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>"},
          {"\n{\"name\": \"f\", \"arguments\": null}\n</tool_call>"},
          R"([{"name": "f", "parameters": {"type": ["null", "object"]}}])");
    for (const char* parameters :
         {R"({"properties": {"a": {"type": "array", "uniqueItems": true}}})",
          R"({"type": "string"})", R"({"type": ["array", "null"]})"}) {
      const std::string odd = std::string(R"([{"name": "odd", "parameters": )") + parameters + "}]";
      CheckRefused(CompileTools(ToolSet::Parse(odd).value(), *FindReplyFormat("hermes"), false, ""),
                   StatusCode::kUnsupported, "tool odd: ");
    }
    CheckRefused(CompileTools(ToolSet::Parse("[]").value(), *FindReplyFormat("hermes"), false, ""),
                 StatusCode::kInvalidArgument, "no tools");
  }
}

}  // namespace
}  // namespace graft::test
