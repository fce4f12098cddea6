// SPDX-License-Identifier: Apache-2.0
// Templates made to hang, to fill the memory or to overflow the stack: each ends with an error.
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "runtime/chat/chat_template.h"

namespace graft::test {
namespace {

using runtime::ChatMessage;
using runtime::ChatTemplate;

Status StatusOf(std::string source) {
  const auto created = ChatTemplate::Create(std::move(source), "<s>", "</s>");
  if (!created.ok()) return created.status();
  const std::vector<ChatMessage> messages = {{"user", "hello"}, {"assistant", "hi"}};
  return (*created)->Render(messages, {}).status();
}

void CheckStopped(const std::string& source) {
  const Status status = StatusOf(source);
  CAPTURE(source.substr(0, 200));
  CAPTURE(status.message());
  CHECK((status.code() == StatusCode::kOutOfRange || status.code() == StatusCode::kCorrupt));
  CHECK(status.message().size() < 600);
}

std::string Repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

TEST_SUITE("chat/limits") {
  TEST_CASE("endless and near endless loops are stopped") {
    CheckStopped(
        "{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}");
    CheckStopped(
        "{% set r = range(2000) %}{% for a in r %}{% for b in r %}{% for c in r %}{% endfor %}"
        "{% endfor %}{% endfor %}");
    CheckStopped("{{ range(1000000000000) }}");
    CheckStopped("{% for a in range(100000) %}{{ range(100000)|sum }}{% endfor %}");
    CheckStopped("{% for a in range(100000) %}{{ ('a' * 100000).count('b') }}{% endfor %}");
    CheckStopped("{% set x = range(100000)|list %}{% for a in x %}{{ a in x }}{% endfor %}");
    CheckStopped("{% set x = range(100000)|map('string')|unique|list %}");
    CheckStopped(
        "{% set s = ' ' * 1000000 %}{% for a in range(100000) %}{{ s|length }}{% endfor %}");
    CheckStopped(
        "{% set s = 'ab' * 500000 %}{{ s.strip(s) }}{{ s.strip('ba' * 400000) }}"
        "{% for a in range(1000) %}{{ s.strip('ba' * 400) }}{% endfor %}");
  }

  TEST_CASE("texts that double are stopped") {
    CheckStopped(
        "{% set ns = namespace(s='x') %}{% for a in range(100) %}"
        "{% set ns.s = ns.s + ns.s %}{% endfor %}");
    CheckStopped("{{ 'x' * 1000000000000 }}");
    CheckStopped("{{ ('x' * 10000).replace('x', 'y' * 10000) }}");
    CheckStopped("{{ ('x' * 10000)|replace('', 'y' * 10000) }}");
    CheckStopped("{{ ('x' * 10000)|join('y' * 10000) }}");
    CheckStopped("{{ ('\\n' * 100000)|indent('z' * 10000, true, true) }}");
    CheckStopped("{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}");
    CheckStopped(
        "{% set ns = namespace(l=[1]) %}{% for a in range(100) %}"
        "{% set ns.l = ns.l + ns.l %}{% endfor %}");
    CheckStopped(
        "{% set ns = namespace(l=[1]) %}{% for a in range(100) %}"
        "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}");
    CheckStopped(
        "{% set ns = namespace(l=[1]) %}{% for a in range(100) %}"
        "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l|tojson }}");
    CheckStopped(
        "{% set ns = namespace(l=[1]) %}{% set m = namespace(l=[1]) %}"
        "{% for a in range(60) %}{% set ns.l = [ns.l, ns.l] %}"
        "{% set m.l = [m.l, m.l] %}{% endfor %}{{ ns.l == m.l }}");
  }

  TEST_CASE("what is nested too deeply is stopped, in the text and in the run") {
    CheckStopped("{{ " + Repeated("(", 100000) + "1" + Repeated(")", 100000) + " }}");
    CheckStopped("{{ " + Repeated("[", 100000) + Repeated("]", 100000) + " }}");
    CheckStopped("{{ " + Repeated("not ", 100000) + "1 }}");
    CheckStopped("{{ " + Repeated("-", 100000) + "1 }}");
    CheckStopped("{{ 1" + Repeated(" + 1", 100000) + " }}");
    CheckStopped("{{ x" + Repeated(".x", 100000) + " }}");
    CheckStopped("{{ x" + Repeated("|trim", 100000) + " }}");
    CheckStopped("{{ 1" + Repeated(" if 1 else 1", 100000) + " }}");
    CheckStopped("{{ 1" + Repeated(" < 1", 100000) + " }}");
    CheckStopped(Repeated("{% if 1 %}", 50000) + Repeated("{% endif %}", 50000));
    CheckStopped("{% if 0 %}" + Repeated("{% elif 0 %}", 50000) + "{% endif %}");
    CheckStopped(Repeated("{% for x in [1] %}", 50000));
    CheckStopped("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}");
    CheckStopped(
        "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f([x]) }}"
        "{% endmacro %}{{ f(1) }}");
    CheckStopped("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}");
  }

  TEST_CASE("templates and maps that are too large are refused") {
    CheckStopped(std::string((size_t{1} << 20) + 1, 'x'));
    CheckStopped(Repeated("{{ 1 }}", 140000));
    std::string map = "{{ {";
    for (int i = 0; i < 2000; ++i) map += "'k" + std::to_string(i) + "': 1, ";
    CheckStopped(map + "} }}");
  }

  TEST_CASE("a namespace that holds itself is printed, compared and let go") {
    CHECK(StatusOf("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}{{ ns == ns.me.me }}"
                   "{{ [ns] }}")
              .ok());
  }

  TEST_CASE("a long conversation is no attack") {
    const std::string source =
        converter::ReadTextFile(std::string(GRAFT_TEST_DATA) + "/chat/qwen3.jinja", 1 << 20)
            .value();
    const auto created = ChatTemplate::Create(source, "", "<|im_end|>");
    REQUIRE(created.ok());
    const std::string long_text(20000, 'x');
    std::vector<ChatMessage> messages;
    for (int i = 0; i < 2000; ++i) {
      messages.push_back({i % 2 == 0 ? "user" : "assistant", long_text});
    }
    const auto text = (*created)->Render(messages, {});
    REQUIRE_MESSAGE(text.ok(), text.status().message());
    CHECK(text->size() > 2000 * long_text.size());
    // Many short ones too.
    for (ChatMessage& message : messages) message.content = "a";
    CHECK((*created)->Render(messages, {}).ok());
  }

  TEST_CASE("no changed byte in a template does more than fail") {
    std::mt19937 random(9);
    int rendered = 0;
    for (const char* name : {"constructs", "qwen3", "llama3.2", "mistral_nemo"}) {
      const std::string source =
          converter::ReadTextFile(std::string(GRAFT_TEST_DATA) + "/chat/" + name + ".jinja",
                                  1 << 20)
              .value();
      for (int round = 0; round < 400; ++round) {
        std::string broken = source;
        for (int i = 0; i < 1 + round % 3; ++i) {
          const size_t at = random() % broken.size();
          constexpr std::string_view kBytes = "{}%#()[]'\"|.,:=-+ \n1ai";
          switch (random() % 3) {
            case 0:
              broken[at] = kBytes[random() % kBytes.size()];
              break;
            case 1:
              broken.erase(at, 1 + random() % 8);
              break;
            default:
              broken.insert(at, broken.substr(random() % broken.size(), 1 + random() % 20));
          }
          if (broken.empty()) broken = "x";
        }
        rendered += StatusOf(broken).ok();
      }
    }
    CHECK(rendered > 50);  // else the test would prove nothing
  }
}

}  // namespace
}  // namespace graft::test
