// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/regex_dialect.h"

#include <doctest/doctest.h>

#include "runtime/tokenizer/pattern.h"

namespace graft::test {
namespace {

/// The matches of `pattern`, written for Oniguruma, in `text`, with "|" between them.
std::string Matches(std::string_view pattern, std::string_view text) {
  const auto translated = converter::ToPcre2(pattern);
  REQUIRE_MESSAGE(translated.ok(), translated.status().message());
  const auto compiled = runtime::Pattern::Compile(*translated, true);
  REQUIRE_MESSAGE(compiled.ok(), compiled.status().message());
  runtime::PatternScratch scratch;
  scratch.Begin(text.size());
  std::string found;
  for (size_t from = 0; from < text.size();) {
    runtime::PatternMatch match;
    REQUIRE(compiled->Find(text, from, scratch, &match).ok());
    if (!match.found) break;
    REQUIRE(match.end > match.begin);
    found.append(found.empty() ? "" : "|")
        .append(text.substr(match.begin, match.end - match.begin));
    from = match.end;
  }
  return found;
}

TEST_SUITE("converter/regex_dialect") {
  TEST_CASE("white space is the property, not PCRE2's list") {
    CHECK(Matches(R"(\s)",
                  "a\xE1\xA0\x8E"
                  "b\xE3\x80\x80"
                  "c") == "\xE3\x80\x80");  // U+180E is none
    CHECK(Matches(R"(\S+)", "ab cd") == "ab|cd");
    CHECK(Matches(R"([^\s]+)", "ab cd") == "ab|cd");
    CHECK(Matches(R"([\S]+)", "ab cd") == "ab|cd");
  }

  TEST_CASE("word characters take marks and connectors along") {
    CHECK(Matches(R"(\w+)", "e\u0301x‿y-z") == "e\u0301x‿y|z");
    CHECK(Matches(R"(\W+)", "e\u0301x - y") == " - ");
    CHECK(Matches(R"([\W]+)", "e\u0301x - y") == " - ");
    CHECK(Matches(R"(\bx\b)", "x e\u0301x x") == "x|x");
    CHECK(Matches(R"(\Bx)", "x ax") == "x");
  }

  TEST_CASE("h is a hexadecimal digit and v a vertical tab") {
    CHECK(Matches(R"(\h+)", "x1aFg") == "1aF");
    CHECK(Matches(R"([\h_]+)", "g1_az") == "1_a");
    CHECK(Matches(R"(\H+)", "1axyz2") == "xyz");
    CHECK(Matches(R"(\v)", "\n\v") == "\v");
  }

  TEST_CASE("properties by long names, by scripts and by POSIX names") {
    CHECK(Matches(R"(\p{Letter}+)", "ab1é2") == "ab|é");
    CHECK(Matches(R"(\p{Uppercase_Letter})", "aBc") == "B");
    CHECK(Matches(R"(\p{Han}+)", "a北京b") == "北京");
    CHECK(Matches(R"(\p{Han})", "a\xE3\x80\x82") ==
          "");  // the ideographic full stop: no script of its own
    CHECK(Matches(R"(\P{L}+)", "ab12c") == "12");
    CHECK(Matches(R"(\p{^L}+)", "ab12c") == "12");
    CHECK(Matches(R"([[:digit:]]+)", "a12b٣") == "12|٣");
    CHECK(Matches(R"([^[:space:]]+)", "a b") == "a|b");
    CHECK(Matches(R"(\p{Punct}+)", "a.!b$") == ".!");
    CHECK(Matches(R"([[:punct:]]+)", "a.!b$") == ".!|$");
    CHECK(Matches(R"(\w+)", "x½ [²]") == "x½|²");
    CHECK(Matches(R"([\w]+)", "x½ [²]") == "x");
    CHECK(Matches(R"([[:word:]]+)", "x½ [²]") == "x");
    CHECK(Matches(R"([[:^alpha:]]+)", "ab12c") == "12");
  }

  TEST_CASE("classes nest and intersect") {
    CHECK(Matches(R"([a-c[x-z]]+)", "abxyq") == "abxy");
    CHECK(Matches(R"([^a[x]]+)", "axbc") == "bc");
    CHECK(Matches(R"([\p{L}&&[^\p{Han}]]+)", "ab北c") == "ab|c");
    CHECK(Matches(R"([a-z&&[^aeiou]&&[^x]]+)", "abcxyz") == "bc|yz");
    CHECK(Matches(R"([^\p{L}&&[^\p{Han}]]+)", "ab北1c") == "北1");
  }

  TEST_CASE("a sign behind an interval is a quantifier of its own") {
    CHECK(Matches(R"(\p{N}{1,3}+x?)", "12345") == "12345");
    CHECK(Matches(R"(a{2}+)", "aaaaa") == "aaaa");
    CHECK(Matches(R"(a{,2}b)", "aab") == "aab");
    CHECK(Matches(R"(a{2}?b)", "b") == "b");
    CHECK(Matches(R"(é{2}+)", "ééé") == "éé");
    CHECK(Matches(R"((ab|[cd]){2}+)", "abcda") == "abc");
    CHECK(Matches(R"(\p{L}{2}+)", "abc") == "ab");
    CHECK(Matches("x{a}", "x{a}") == "x{a}");
  }

  TEST_CASE("anchors hold at every line, and (?m) is what others call dotall") {
    CHECK(Matches(R"(^a)", "a\na") == "a|a");
    CHECK(Matches(R"(b$)", "ab\nb") == "b|b");
    CHECK(Matches(R"(a.b)", "a\nb") == "");
    CHECK(Matches(R"((?m:a.b))", "a\nb") == "a\nb");
    CHECK(Matches(R"((?i:ab)c)", "ABcABC") == "ABc");
  }

  TEST_CASE("the splitting rules of well-known models") {
    const char* cl100k =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    CHECK(Matches(cl100k, "It'S 12345  x!\n\n y") == "It|'S| |123|45| | x|!\n\n| y");
    const char* o200k =
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    CHECK(Matches(o200k, "HelloWorld's 42") == "Hello|World's| |42");
    const char* possessive =
        R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
    CHECK(Matches(possessive, "ab 1234 !\n x") == "ab| |1234| !\n| x");
  }

  TEST_CASE("what has no equal is refused") {
    for (const char* pattern : {"(?~abc)", "[[:nonsense:]]", R"(\p{Nonsense})", "(", "[a", "a\\",
                                "*", R"(\xFF)", R"(\C)", "(?s:a)"}) {
      CAPTURE(pattern);
      const auto translated = converter::ToPcre2(pattern);
      REQUIRE(!translated.ok());
      CHECK(translated.status().code() == StatusCode::kUnsupported);
    }
    CHECK(!converter::ToPcre2(std::string(5000, '[')).ok());
    CHECK(!converter::ToPcre2(std::string(5000, '(')).ok());
  }
}

}  // namespace
}  // namespace graft::test
