// SPDX-License-Identifier: Apache-2.0
// Templates made to hang, to fill the memory or to overflow the stack: each ends with an error.
#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "runtime/chat/chat_template.h"
#include "tests/support/slow_here.h"
#include "tests/support/some_of_all.h"

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

// Where nothing slows it down, far more than it takes. Before they were counted, the costs below took
// minutes.
constexpr double kMostSeconds = 60.0;

void CheckStopped(const std::string& source) {
  const std::clock_t started = std::clock();
  const Status status = StatusOf(source);
  const double seconds = static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC;
  CAPTURE(source.substr(0, 200));
  CHECK((kIsSlow || seconds < kMostSeconds));
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

  TEST_CASE("searching for what is nearly there is paid for" * doctest::skip(test::kSomeOfAll)) {
    const std::string texts = "{% set s = 'a' * 8000000 %}{% set w = 'a' * 4000000 ~ 'b' %}";
    CheckStopped(texts + "{{ s.find(w) }}");
    CheckStopped(texts + "{{ s.rfind(w) }}");
    CheckStopped(texts + "{{ w in s }}");
    CheckStopped(texts + "{{ s.split(w) }}");
    CheckStopped(texts + "{{ s.rsplit(w) }}");
    CheckStopped(texts + "{{ s.replace(w, '') }}");
    CheckStopped(texts + "{{ s.count(w) }}");
    CheckStopped(texts +
                 "{% for i in range(100000) %}{{ s.startswith([w, w, s ~ w]) }}{% endfor %}");
    CheckStopped(texts + "{{ (s ~ '\u00e9').rstrip('\u00e8' * 2000000 ~ '\u00e9a') }}" +
                 "{% for i in range(1000) %}{{ s.strip('\u00e1' * 200000 ~ 'a') }}{% endfor %}");
  }

  TEST_CASE("comparing is paid for, wherever the texts are" * doctest::skip(test::kSomeOfAll)) {
    const std::string texts =
        "{% set a = 'a' * 4000000 %}{% set b = 'a' * 4000000 %}{% set many = range(100000) %}";
    CheckStopped(texts + "{% for i in many %}{{ [a, a, a] == [b, b, b] }}{% endfor %}");
    CheckStopped(texts + "{% for i in many %}{{ {'k': a} == {'k': b} }}{% endfor %}");
    CheckStopped(texts + "{% for i in many %}{{ {a: 1} == {b: 1} }}{% endfor %}");
    CheckStopped(texts + "{% for i in many %}{{ a in [b ~ 'c', [b], b] }}{% endfor %}");
    CheckStopped(texts +
                 "{% set m = {a: 1} %}{% for i in many %}{{ m[b] }}{{ b in m }}{% endfor %}");
    CheckStopped(texts + "{% for i in many %}{{ [a, b, a, b]|unique|length }}{% endfor %}");
    CheckStopped(texts + "{% for i in many %}{{ [[a], [b]]|sum(0) }}{{ [a, b]|max }}{% endfor %}");
  }

  TEST_CASE("names that are looked for and values that are written are paid for" *
            doctest::skip(test::kSomeOfAll)) {
    std::string names;
    for (int i = 0; i < 500; ++i) names += "{% set n" + std::to_string(i) + " = 1 %}";
    std::string nested;
    for (int level = 0; level < 40; ++level)
      nested += "{% for v" + std::to_string(level) + " in range(30) %}" + names;
    nested += "{{ nowhere }}" + Repeated("{% endfor %}", 40);
    CheckStopped(nested);
    CheckStopped("{% set ns = namespace() %}{% set ns." + std::string(300, 'n') + " = 1 %}");
    std::string arguments;
    for (int i = 0; i < 300; ++i) arguments += "a" + std::to_string(i) + "=1,";
    CheckStopped("{{ dict(" + arguments + ") }}");
    CheckStopped("{% macro m(" + arguments + ") %}{% endmacro %}");
    CheckStopped(
        "{% set l = [0.1234567] * 1 %}{% set x = range(1000)|map('float')|list %}"
        "{% for i in range(100000) %}{{ [x, x, x, x]|tojson|length }}{% endfor %}");
    CheckStopped(
        "{% set ns = namespace() %}{% set ns.a = ns %}{% set path = 'a' ~ '.a' * 2000000 %}"
        "{% for i in range(100000) %}{{ [ns]|map(attribute=path)|list|length }}{% endfor %}");
    CheckStopped(
        "{% set w = ' ' * 8000000 %}{% for i in range(100000) %}{{ ''|indent(w) }}{% endfor %}");
    CheckStopped("{% filter " + Repeated("string|", 100000) + "string %}x{% endfilter %}" +
                 "{% for i in range(1000000) %}{{ i }}{% endfor %}");
  }

  TEST_CASE("a search that is paid for finds what std::string finds") {
    const auto created = ChatTemplate::Create(
        "{% set t = messages[0].content %}{% set w = messages[1].content %}"
        "{{ t.find(w) }} {{ t.rfind(w) }} {{ t.count(w) }} {{ w in t }} {{ t.split(w)|length }} "
        "{{ t.rsplit(w, 1)[0]|length }} {{ t.replace(w, '-')|length }}",
        "", "");
    REQUIRE(created.ok());
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
      std::string text(random() % 300, 'a');
      for (char& c : text) c = random() % 16 == 0 ? 'b' : 'a';
      const size_t at = text.empty() ? 0 : random() % text.size();
      std::string wanted = text.substr(at, 1 + random() % 80);
      if (wanted.empty()) wanted = "a";
      if (random() % 3 == 0) wanted.back() = 'c';
      const size_t first = text.find(wanted);
      const size_t last = text.rfind(wanted);
      size_t count = 0;
      for (size_t i = 0; (i = text.find(wanted, i)) != std::string::npos; i += wanted.size())
        ++count;
      const bool found = first != std::string::npos;
      const auto number = [&](size_t place) { return found ? std::to_string(place) : "-1"; };
      const std::string expected = number(first) + " " + number(last) + " " +
                                   std::to_string(count) + (found ? " True " : " False ") +
                                   std::to_string(count + 1) + " " +
                                   std::to_string(found ? last : text.size()) + " " +
                                   std::to_string(text.size() - count * (wanted.size() - 1));
      const std::vector<ChatMessage> messages = {{"user", text}, {"user", wanted}};
      const auto rendered = (*created)->Render(messages, {});
      REQUIRE(rendered.ok());
      CHECK(*rendered == expected);
    }
  }

  TEST_CASE("a number is read from whole characters, and written with the fewest digits") {
    const auto created = ChatTemplate::Create(
        "{{ (' ' * 63 ~ '\u3000')|int(7) }} {{ ('\u3000' * 30)|float(1.5) }} {{ ' 12 '|int }} "
        "{{ [0.1, 1.0, 100.0, 0.30000000000000004, 1e22, 1.5e-7, 123456789012345.6, 5e-324, 1/3] "
        "}}",
        "", "");
    REQUIRE(created.ok());
    const auto rendered = (*created)->Render({}, {});
    REQUIRE_MESSAGE(rendered.ok(), rendered.status().message());
    CHECK(*rendered ==
          "7 1.5 12 [0.1, 1.0, 100.0, 0.30000000000000004, 1e+22, 1.5e-07, 123456789012345.6, "
          "5e-324, 0.3333333333333333]");
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
