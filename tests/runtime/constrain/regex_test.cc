// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/regex.h"

#include <chrono>

#include "runtime/constrain/constraint.h"
#include "tests/runtime/constrain/constrain_fixture.h"

namespace graft::test {
namespace {

using runtime::CompileRegex;

TEST_SUITE("text/constrain/regex") {
  TEST_CASE("matches as a whole what regular expressions match") {
    const TextCase cases[] = {
        {"abc", {"abc"}, {"", "ab", "abcd"}},
        {"^abc$", {"abc"}, {"xabc"}},
        {"a*", {"", "a", "aaaa"}, {"b"}},
        {"a+?b", {"ab", "aab"}, {"b"}},
        {"(a|bc)d?", {"a", "ad", "bc", "bcd"}, {"b", "d"}},
        {"a{3}", {"aaa"}, {"aa", "aaaa"}},
        {"a{2,}", {"aa", "aaaaa"}, {"a"}},
        {"a{1,3}", {"a", "aaa"}, {"", "aaaa"}},
        {"a{,3}", {"a{,3}"}, {"a"}},
        {"[a-c]x", {"ax", "cx"}, {"dx"}},
        {"[^a-c]x", {"dx", "\xC3\xA4x"}, {"ax", "x"}},
        {"[a\\]]", {"]", "a"}, {"\\"}},
        {"[a-]", {"a", "-"}, {"b"}},
        {"\\d\\D", {"1a"}, {"11"}},
        {"\\w\\W", {"_-"}, {"__"}},
        {"\\s\\S", {" x", "\tx"}, {"xx"}},
        {"\\.\\/\\-", {"./-"}, {"a/-"}},
        {"\\x41\\u00e4\\u{1F600}", {"A\xC3\xA4\xF0\x9F\x98\x80"}, {"A"}},
        {"a.c",
         {"abc",
          "a\xE2\x82\xAC"
          "c"},
         {"a\nc", "ac"}},
        {"(?i)ab[c-d]", {"ABC", "abD"}, {"abe"}},
        {"(?<name>a)(?:b)", {"ab"}, {"a"}},
        {"(?!ab)[a-b]{2}", {"aa", "ba", "bb"}, {"ab"}},
        {"(?=a)[a-b]{2}", {"aa", "ab"}, {"ba"}},
        {"x(?!b)[a-c]", {"xa", "xc"}, {"xb"}},
        {"^(a|b$)$", {"a", "b"}, {"ab"}},
        {"[\xC3\xA4-\xE2\x82\xAC]", {"\xC3\xA4", "\xE2\x82\xAC", "\xD0\x96"}, {"a", "\xC3"}},
    };
    for (const TextCase& texts : cases) CheckTexts(texts, CompileRegex(texts.constraint));
  }

  TEST_CASE("refuses what is malformed, and what only backtracking can do") {
    for (const char* bad : {"(a", "a)", "[a", "*a", "a**", "\\", "a{3,2}", "[b-a]", "\\x4"}) {
      CAPTURE(bad);
      CheckRefused(CompileRegex(bad), StatusCode::kInvalidArgument, "at byte");
    }
    for (const char* bad : {"(a)\\1", "\\bword", "(?<=a)b", "\\p{L}", "(a(?!b)c)+", "a++", "a^b"}) {
      CAPTURE(bad);
      CheckRefused(CompileRegex(bad), StatusCode::kUnsupported, "at byte");
    }
    CheckRefused(CompileRegex("\xC3"), StatusCode::kInvalidArgument, "UTF-8");
    CheckRefused(CompileRegex("a(?!)"), StatusCode::kInvalidArgument, "no text");
  }

  TEST_CASE("what matches nothing is refused or left out, however many texts it looks like") {
    const std::string rest = ".{20}.*..c.{25}d";  // its automaton has some 2^25 states
    const std::string end = std::string(23, 'x') + "c" + std::string(25, 'x') + "d";
    for (const char* none :
         {"(?!)", "(?!a*)", "(?!|a)", "(?!(?:))", "x(?!)", "(?=a)(?!)", "(?!.*)(?=a)", "[]",
          "x[]{2}", "[^\\s\\S]", "(?=a)b", "(?=[0-9]+$)[a-z]+", "(?=[0-9]+$)(?=[a-z]+$)", "(?!.*c)",
          "(?!a)(?!b)[ab]", "(?=.{10}$)", "a(?!.{20})", "a(?=b)(?!b)"}) {
      CAPTURE(none);
      CheckRefused(CompileRegex(none + rest), StatusCode::kInvalidArgument, "no text");
      CheckTexts({none + rest + "|[ok]{2}", {"ok", "kk"}, {"a", "b" + end, end}},
                 CompileRegex(none + rest + "|[ok]{2}"));
    }
    CheckTexts({"(?!b)[ab]c|(?=)d", {"ac", "d"}, {"bc"}}, CompileRegex("(?!b)[ab]c|(?=)d"));
    CheckTexts({"(?!.*d$).+|(?=b)" + rest, {"b" + end, "a"}, {"a" + end}},
               CompileRegex("(?!.*d$).+|(?=b)" + rest));
  }

  TEST_CASE("counts cost nothing, and what is built to explode ends") {
    CheckTexts({"a{1000,2000000000}", {std::string(1000, 'a')}, {std::string(999, 'a')}},
               CompileRegex("a{1000,2000000000}"));
    CheckTexts({"(a?){200}a{200}",
                {std::string(200, 'a'), std::string(400, 'a')},
                {std::string(199, 'a'), std::string(401, 'a')}},
               CompileRegex("(a?){200}a{200}"));
    CheckTexts({"(a|aa|aaa)*b", {std::string(300, 'a') + "b"}, {std::string(300, 'a')}},
               CompileRegex("(a|aa|aaa)*b"));
    CheckTexts({"(.*)(.*)(.*)(.*)x", {std::string(300, 'a') + "x"}, {std::string(300, 'a')}},
               CompileRegex("(.*)(.*)(.*)(.*)x"));
    const std::string deep = std::string(5000, '(') + "a" + std::string(5000, ')');
    CheckRefused(CompileRegex(deep), StatusCode::kInvalidArgument, "nested deeper");
    const std::string big = "(" + std::string(1 << 20, 'a') + ")";
    CheckRefused(CompileRegex(big), StatusCode::kInvalidArgument, "more than");
  }

  TEST_CASE("one of choices") {
    const std::string_view choices[] = {"yes", "no", "not sure", "\xC3\xA4"};
    CheckTexts({"choices", {"yes", "no", "not sure", "\xC3\xA4"}, {"", "not", "yesno", "n"}},
               runtime::CompileChoices(choices));
    CheckRefused(runtime::CompileChoices({}), StatusCode::kInvalidArgument, "no choices");
    const std::string_view empty[] = {"a", ""};
    CheckRefused(runtime::CompileChoices(empty), StatusCode::kInvalidArgument, "choice 1 is empty");
  }
}

}  // namespace
}  // namespace graft::test
