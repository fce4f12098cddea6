// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/gbnf.h"

#include "tests/runtime/constrain/constrain_fixture.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

using runtime::CompileGbnf;

TEST_SUITE("text/constrain/gbnf") {
  TEST_CASE("reads grammars as llama.cpp writes them") {
    const TextCase cases[] = {
        {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "yesno"}},
        {"root ::= (\"a\" | [b-d])+ \"\\n\"", {"a\n", "abcd\n"}, {"\n", "e\n", "a"}},
        {"# a note\nroot ::= item{2,3} # here\nitem ::= [^\"\\\\\\n]\n",
         {"ab", "abc"},
         {"a", "abcd"}},
        {"root ::= \"\\x41\\u00E4\\U0001F600\\\"\"", {"A\xC3\xA4\xF0\x9F\x98\x80\""}, {"A"}},
        {"root ::= . \"!\"?", {"a", "\xE2\x82\xAC!"}, {"", "ab"}},
        {"root ::= \"(\" root? \")\"", {"()", "((()))"}, {"(", "(()", "())"}},
        {"root ::= sum\nsum ::= term (\"+\" term)*\nterm ::= [0-9]+ | \"(\" sum \")\"",
         {"1", "1+(2+3)+45", "((7))"},
         {"", "1+", "(1", "1)"}},
        {"root ::=\n  \"a\" |\n  \"b\"\n  \"c\"\n", {"a", "bc"}, {"b", "c"}},
        {"root ::= \"a\" root \"b\" | \"\"", {"", "ab", "aaabbb"}, {"a", "aab", "ba"}},
    };
    for (const TextCase& texts : cases) CheckTexts(texts, CompileGbnf(texts.constraint));
  }

  TEST_CASE("refuses what is none, naming the line") {
    CheckRefused(CompileGbnf("root ::= \"a\n"), StatusCode::kInvalidArgument, "line 1");
    CheckRefused(CompileGbnf("root ::= a\n"), StatusCode::kInvalidArgument, "no rule 'a'");
    CheckRefused(CompileGbnf("a ::= \"a\"\n"), StatusCode::kInvalidArgument, "no rule 'root'");
    CheckRefused(CompileGbnf("root ::= \"a\"\nroot ::= \"b\""), StatusCode::kInvalidArgument,
                 "defined twice");
    CheckRefused(CompileGbnf("root ::= \"a\")\n"), StatusCode::kInvalidArgument, "closes nothing");
    CheckRefused(CompileGbnf("root ::= [a"), StatusCode::kInvalidArgument, "class does not end");
    CheckRefused(CompileGbnf("root ::= root \"a\" | \"b\""), StatusCode::kInvalidArgument,
                 "left recursion");
    CheckRefused(CompileGbnf("root ::= a root | \"y\"\na ::= \"\" | \"x\""),
                 StatusCode::kInvalidArgument, "left recursion");
    CheckRefused(CompileGbnf("root ::= \"a\" root"), StatusCode::kInvalidArgument, "no text");
    CheckRefused(CompileGbnf("root ::= " + std::string(10000, '(')), StatusCode::kInvalidArgument,
                 "nested too deeply");
    CheckRefused(CompileGbnf("root ::= \"a\"" + std::string(10000, '*')),
                 StatusCode::kInvalidArgument, "quantifiers");
  }

  TEST_CASE("long rows of rules are followed without calls" * doctest::skip(kSomeOfAll)) {
    std::string text = "root ::= a0\n";
    for (int i = 0; i < 20000; ++i) {
      text += "a" + std::to_string(i) + " ::= \"x\"? a" + std::to_string(i + 1) + "\n";
    }
    text += "a20000 ::= \"y\"\n";
    CheckTexts({"row", {"y", "xxy"}, {"", "x"}}, CompileGbnf(text));
  }
}

}  // namespace
}  // namespace graft::test
