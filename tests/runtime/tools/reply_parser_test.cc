// SPDX-License-Identifier: Apache-2.0
// Replies of each family, whole and cut at every byte.
#include "runtime/tools/reply_parser.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace graft::test {
namespace {

using runtime::FindReplyFormat;
using runtime::ReplyParser;
using runtime::ToolCall;
using runtime::ToolSet;

/// What a reply came to: "text", "(thinking)" and "name#id{arguments}", in order.
class Written : public runtime::ReplySink {
 public:
  void OnText(std::string_view text) override { Add('t', text); }
  void OnThinking(std::string_view text) override { Add('k', text); }
  void OnCall(const ToolCall& call) override {
    Add('c', {});
    all += "[" + call.name + (call.id.empty() ? "" : "#" + call.id) + call.arguments + "]";
    ++calls;
  }
  std::string Whole() {
    Add('e', {});
    return all;
  }

  std::string all;
  size_t calls = 0;

 private:
  void Add(char kind, std::string_view text) {
    if (kind != last_ && last_ == 'k') all += ")";
    if (kind != last_ && kind == 'k') all += "(";
    all += text;
    last_ = kind;
  }
  char last_ = 'e';
};

constexpr std::string_view kTools =
    R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
      "a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": ["string", "null"]},
      "d": {"type": "object"}, "e": {"enum": ["1", "2"]}}}}}, {"name": "g"}])";

std::shared_ptr<const ToolSet> Tools() {
  return std::make_shared<const ToolSet>(ToolSet::Parse(kTools).value());
}

std::string Read(std::string_view format, std::string_view text, size_t cut, size_t step,
                 bool is_thinking = false) {
  ReplyParser parser(*FindReplyFormat(format), Tools(), is_thinking);
  Written written;
  parser.Append(text.substr(0, cut), &written);
  for (size_t at = cut; at < text.size(); at += step) {
    parser.Append(text.substr(at, step), &written);
  }
  parser.Finish(&written);
  return written.Whole();
}

struct Case {
  std::string_view format;
  std::string_view text;
  std::string_view expected;
};

const Case kCases[] = {
    // hermes: Qwen, SmolLM, Hermes, Granite 4
    {"hermes", "Just text.", "Just text."},
    {"hermes",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"x\", \"b\": 1}}\n</tool_call>",
     "[f{\"a\":\"x\",\"b\":1}]"},
    {"hermes",
     "Let me see.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"</tool_call> "
     "\\\"}{\"}}\n"
     "</tool_call>\n<tool_call>{\"arguments\": {}, \"name\": \"g\"}</tool_call>\n",
     "Let me see.[f{\"a\":\"</tool_call> \\\"}{\"}][g{}]"},
    {"hermes", "<think>\nI <b>wonder</b>\n</think>\n\nYes.", "(I <b>wonder</b>)Yes."},
    {"hermes", "<think>hm <tool_call>{} </think><tool_call>{\"name\":\"g\",\"arguments\":{}}",
     "(hm <tool_call>{})[g{}]"},
    {"hermes",
     "<tool_call>[{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": "
     "{}}]</tool_call>",
     "[f{}][g{}]"},
    {"hermes",
     "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": \\\"1\\\"}\"}</tool_call>",
     "[f{\"a\":\"1\"}]"},
    {"hermes",
     "<tool_call>{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"b\": "
     "1e3}}}</tool_call> So.",
     "[f{\"b\":1e3}]So."},
    {"hermes", "a < b <tool> </think> <tool_cal", "a < b <tool> </think> <tool_cal"},
    // ... malformed
    {"hermes", "x <tool_call>{\"name\": }</tool_call>", "x <tool_call>{\"name\": }</tool_call>"},
    {"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
     "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>"},
    {"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"",
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \""},
    {"hermes", "<tool_call>?<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
     "<tool_call>?[g{}]"},
    {"hermes", "<tool_call>{\"a\": 1, \"a\": 2}</tool_call>",
     "<tool_call>{\"a\": 1, \"a\": 2}</tool_call>"},
    {"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\xFF\"}}</tool_call>",
     "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"\xFF\"}}</tool_call>"},
    {"hermes", "<tool_call>", "<tool_call>"},
    {"hermes", "<tool_call>?<think>x</think> y", "<tool_call>?(x)y"},
    {"hermes", "<tool_call>{1 <tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
     "<tool_call>{1[g{}]"},
    // Qwen-Coder
    {"qwen-coder",
     "<tool_call>\n<function=f>\n<parameter=a>\n12\n</parameter>\n<parameter=b>\n12\n</parameter>\n"
     "<parameter=c>\nnull\n</parameter>\n<parameter=d>\n{\"x\": "
     "[true]}\n</parameter>\n<parameter=e>\n1\n</parameter>\n"
     "</function>\n</tool_call>",
     "[f{\"a\":\"12\",\"b\":12,\"c\":null,\"d\":{\"x\":[true]},\"e\":\"1\"}]"},
    {"qwen-coder",
     "I do.\n<tool_call>\n<function=h>\n<parameter=code>\nif a < 1:\n  "
     "\"b\"\n\n</parameter>\n<parameter=n>\nTrue\n"
     "</parameter>\n</function>\n</tool_call>",
     "I do.[h{\"code\":\"if a < 1:\\n  \\\"b\\\"\\n\",\"n\":true}]"},
    {"qwen-coder", "<tool_call>\n<function=g>\n</function>\n</tool_call>", "[g{}]"},
    {"qwen-coder", "<tool_call><function=f><parameter=a>1</function></tool_call>",
     "<tool_call><function=f><parameter=a>1</function></tool_call>"},
    // GLM
    {"glm",
     "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x "
     "y</arg_value>\n<arg_key>b</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
     "[f{\"a\":\"x y\",\"b\":3}]"},
    {"glm", "<tool_call>g\n</tool_call>", "[g{}]"},
    {"glm", "<tool_call>what\n</tool_call>", "<tool_call>what\n</tool_call>"},
    // Llama 3
    {"llama", "{\"name\": \"f\", \"parameters\": {\"a\": \"}\"}}", "[f{\"a\":\"}\"}]"},
    {"llama", " \n{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
     "[f{}][g{}]"},
    {"llama", "<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {\"b\": 2}}",
     "[f{\"b\":2}]"},
    {"llama", "<|python_tag|>brave_search.call(query=\"a \\\"b\\\"\")",
     "[brave_search{\"query\":\"a \\\"b\\\"\"}]"},
    {"llama", "{\"answer\": 1} is it", "{\"answer\": 1} is it"},
    {"llama", "It is {\"name\": \"f\", \"parameters\": {}}",
     "It is {\"name\": \"f\", \"parameters\": {}}"},
    {"llama", "{\"name\": \"f\"", "{\"name\": \"f\""},
    {"llama4", "<|python_start|>[f(a='x'), g()]<|python_end|>", "[f{\"a\":\"x\"}][g{}]"},
    // Mistral, as it was and as it is
    {"mistral",
     "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"b\": -1}, \"id\": \"abc123DEF\"}]",
     "[f#abc123DEF{\"b\":-1}]"},
    {"mistral",
     "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {}}]",
     "[f{}][g{}]"},
    {"mistral-args",
     "[THINK]why[/THINK]Hm.[TOOL_CALLS]f[ARGS]{\"a\": "
     "\"[1]\"}[TOOL_CALLS]g[CALL_ID]123456789[ARGS]{}",
     "(why)Hm.[f{\"a\":\"[1]\"}][g#123456789{}]"},
    {"mistral", "[TOOL_CALLS]f{\"b\": 1}", "[f{\"b\":1}]"},
    {"mistral", "[TOOL_CALLS]f[ARGS]1", "[TOOL_CALLS]f[ARGS]1"},
    {"mistral", "[TOOL", "[TOOL"},
    // FunctionGemma, Gemma 4
    {"functiongemma",
     "<start_function_call>call:f{a:<escape>x, {y: "
     "\"z\"}<escape>,b:3,d:{k:<escape>v<escape>,l:[1,true,null,<escape>m<escape>]}}"
     "<end_function_call>",
     "[f{\"a\":\"x, {y: \\\"z\\\"}\",\"b\":3,\"d\":{\"k\":\"v\",\"l\":[1,true,null,\"m\"]}}]"},
    {"functiongemma",
     "<start_function_call>call:f{a:<escape>1<escape>}<end_function_call><start_function_call>call:"
     "g{}<end_function_call>",
     "[f{\"a\":\"1\"}][g{}]"},
    {"functiongemma", "<start_function_call>call:f{a:word,b:2.5}<end_function_call>",
     "[f{\"a\":\"word\",\"b\":2.5}]"},
    {"functiongemma", "<start_function_call>call:f{a:<escape>1}<end_function_call>",
     "<start_function_call>call:f{a:<escape>1}<end_function_call>"},
    {"functiongemma", "<start_function_call>say:f{}<end_function_call>",
     "<start_function_call>say:f{}<end_function_call>"},
    {"gemma4",
     "<|channel>thought\nhm\n<channel|><|tool_call>call:f{a:<|\"|>it's "
     "<b>\n<|\"|>,b:1}<tool_call|>",
     "(hm)[f{\"a\":\"it's <b>\\n\",\"b\":1}]"},
    // LFM2
    {"lfm2", "<|tool_call_start|>[f(a=\"x\", b=2), g()]<|tool_call_end|>Checking.",
     "[f{\"a\":\"x\",\"b\":2}][g{}]Checking."},
    {"lfm2",
     "<|tool_call_start|>[f(a='it\\'s \\u00e9\\n', d={'k': [1, -2.5, True, None], \"l\": (1,)}, "
     "c=None)]<|tool_call_end|>",
     "[f{\"a\":\"it's \xC3\xA9\\n\",\"d\":{\"k\":[1,-2.5,true,null],\"l\":[1]},\"c\":null}]"},
    {"lfm2", "<|tool_call_start|>[{\"name\": \"f\", \"arguments\": {}}]<|tool_call_end|>", "[f{}]"},
    {"lfm2", "<|tool_call_start|>[f(1)]<|tool_call_end|>",
     "<|tool_call_start|>[f(1)]<|tool_call_end|>"},
    {"lfm2", "<|tool_call_start|>[f(a=1, a=2)]<|tool_call_end|>",
     "<|tool_call_start|>[f(a=1, a=2)]<|tool_call_end|>"},
    {"olmo", "<function_calls>f(a=\"x\")\ng()</function_calls>", "[f{\"a\":\"x\"}][g{}]"},
    // Phi, Granite 3
    {"phi", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}]<|/tool_call|>",
     "[f{\"a\":\"x\"}]"},
    {"granite", "<|tool_call|>[{\"name\": \"f\", \"arguments\": {\"a\": \"x\"}}]",
     "[f{\"a\":\"x\"}]"},
};

TEST_SUITE("text/reply_parser") {
  TEST_CASE("replies of each family, cut at every byte") {
    for (const Case& each : kCases) {
      CAPTURE(each.text);
      CHECK(Read(each.format, each.text, each.text.size(), 1) == each.expected);
      CHECK(Read(each.format, each.text, 0, 1) == each.expected);
      for (size_t cut = 1; cut < each.text.size(); ++cut) {
        REQUIRE(Read(each.format, each.text, cut, each.text.size()) == each.expected);
      }
    }
  }

  TEST_CASE("a prompt that ends within thinking") {
    CHECK(Read("hermes", "so\n</think>\nYes", 3, 2, true) == "(so)Yes");
    CHECK(Read("hermes", "it goes on", 3, 2, true) == "(it goes on)");
    const auto opens = [](std::string_view format, std::string_view prompt) {
      return runtime::OpensThinking(*FindReplyFormat(format), prompt);
    };
    CHECK(opens("hermes", "assistant\n<think>\n"));
    CHECK(opens("gemma4", "model\n<|channel>thought\n"));
    CHECK(opens("mistral", "[/INST][THINK]"));
    CHECK(!opens("hermes", "assistant\n<think>\n\n</think>\n\n"));
    CHECK(!opens("mistral", ""));
  }

  TEST_CASE("a call is told when it ends, and text at once") {
    ReplyParser parser(*FindReplyFormat("hermes"), nullptr, false);
    Written written;
    parser.Append("Hello <", &written);
    CHECK(written.all == "Hello");
    parser.Append("tool_call>{\"name\": \"f\", \"arguments\": {}}", &written);
    CHECK(written.calls == 1);
    parser.Append("</tool_call> then", &written);
    CHECK(written.all == "Hello[f{}]then");
  }

  TEST_CASE("without tools, an object is no call") {
    ReplyParser parser(*FindReplyFormat("llama"), nullptr, false);
    Written written;
    parser.Append("{\"name\": \"f\", \"parameters\": {}}", &written);
    CHECK(written.calls == 0);
  }

  TEST_CASE("what is too large or nests too deep is text") {
    for (const std::string_view format : {"hermes", "lfm2", "functiongemma", "qwen-coder"}) {
      const runtime::ReplyFormat& marks = *FindReplyFormat(format);
      for (const std::string& body :
           {"{\"name\": \"f\", \"arguments\": {\"a\": \"" + std::string(400000, 'x'),
            std::string(5000, '[') + std::string(5000, ']'),
            "[f(a=" + std::string(3000, '(') + std::string(3000, ')') + ")]",
            "call:f{a:" + std::string(3000, '{') + std::string(3000, '}') + "}",
            "<function=f>" + std::string(400000, ' ')}) {
        const std::string text = std::string(marks.open) + body + std::string(marks.close);
        CHECK(Read(format, text, text.size() / 2, 4000) == text);
      }
    }
    // Marks without end cost no more than their bytes.
    std::string many;
    for (int i = 0; i < 20000; ++i) many += "<tool_call>{";
    CHECK(Read("hermes", many, 0, 1000) == many);
    CHECK(Read("llama", std::string(20000, '\n'), 0, 7).size() == 20000);
  }

  TEST_CASE("the format is what the template tells, or the tokens") {
    const auto name = [](std::string_view text) { return runtime::FormatOf(text, nullptr).name; };
    CHECK(name("... '<tool_call>\\n' ...") == "hermes");
    CHECK(name("<tool_call> <function=") == "qwen-coder");
    CHECK(name("[TOOL_CALLS]") == "mistral");
    CHECK(name("[TOOL_CALLS] [ARGS]") == "mistral-args");
    CHECK(name("<start_function_call>call:") == "functiongemma");
    CHECK(name("<|tool_list_start|>") == "lfm2");
    CHECK(name("role == 'ipython'") == "llama");
    CHECK(name("<|tool_call|>") == "granite");
    CHECK(name("") == "hermes");
    CHECK(FindReplyFormat("none of these") == nullptr);
  }

  TEST_CASE("tools that are none are refused") {
    const auto refused = [](const char* json) {
      const Result<ToolSet> set = ToolSet::Parse(json);
      return set.ok() ? std::string() : std::string(set.status().message());
    };
    CHECK(refused("{}").find("not a list") != std::string::npos);
    CHECK(refused("[1]").find("#/0 has no \"name\"") != std::string::npos);
    CHECK(refused("[{\"name\": \"a b\"}]").find("name") != std::string::npos);
    CHECK(refused("[{\"name\": \"a\"}, {\"name\": \"a\"}]").find("\"a\"") != std::string::npos);
    CHECK(refused("[{\"name\": \"a\", \"parameters\": 1}]").find("\"parameters\"") !=
          std::string::npos);
    CHECK(refused("[").find("the list of tools is not JSON") != std::string::npos);
    CHECK(ToolSet::Parse("[{\"name\": \"a\", \"parameters\": null}]").ok());
  }
}

}  // namespace
}  // namespace graft::test
