// SPDX-License-Identifier: Apache-2.0
// Merging against three lines of loops that do what its definition says.
#include "runtime/tokenizer/bpe.h"

#include <algorithm>
#include <map>
#include <random>

#include <doctest/doctest.h>

#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;
using Pair = std::pair<std::string, std::string>;

/// Joins the leftmost neighbours of the lowest rank until none are left to join.
std::vector<std::string> MergeByDefinition(std::vector<std::string> symbols,
                                           const std::map<Pair, size_t>& ranks) {
  for (;;) {
    size_t best = symbols.size();
    size_t best_rank = SIZE_MAX;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found == ranks.end() || found->second >= best_rank) continue;
      best = i;
      best_rank = found->second;
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST_SUITE("text/bpe") {
  TEST_CASE("short and long pieces are merged as the definition says") {
    std::mt19937 random(1);
    for (int round = 0; round < 40; ++round) {
      // A random vocabulary that grows by joining two tokens it has.
      std::vector<std::string> tokens = {"a", "b", "c"};
      std::map<Pair, size_t> ranks;
      std::string merges;
      while (ranks.size() < 40) {
        const Pair pair = {tokens[random() % tokens.size()], tokens[random() % tokens.size()]};
        if (pair.first.size() + pair.second.size() > 12 || ranks.contains(pair)) continue;
        merges.append(merges.empty() ? "[" : ",");
        merges.append("[\"").append(pair.first).append("\",\"").append(pair.second).append("\"]");
        ranks.emplace(pair, ranks.size());
        if (std::find(tokens.begin(), tokens.end(), pair.first + pair.second) == tokens.end()) {
          tokens.push_back(pair.first + pair.second);
        }
      }
      merges += "]";
      std::map<std::string, int32_t> ids;
      std::string vocab;
      for (const std::string& token : tokens) {
        vocab.append(vocab.empty() ? "{" : ",").append("\"" + token + "\":");
        vocab.append(std::to_string(ids.size()));
        ids.emplace(token, static_cast<int32_t>(ids.size()));
      }
      vocab += "}";
      const TestTokenizer tokenizer = TestTokenizer::FromJson(BpeJson("", vocab, merges));
      for (const size_t size : {1, 2, 5, 17, 40, 41, 90, 700}) {
        std::string text(size, 'a');
        for (char& c : text) c = static_cast<char>('a' + random() % 3);
        std::vector<std::string> symbols;
        for (const char c : text) symbols.emplace_back(1, c);
        Ids expected;
        for (const std::string& symbol : MergeByDefinition(symbols, ranks)) {
          expected.push_back(ids.at(symbol));
        }
        CAPTURE(text);
        CHECK(tokenizer->Encode(text, false).value() == expected);
      }
    }
  }

  TEST_CASE("unknown symbols are dropped, repeated or fused as the file says") {
    const char* vocab = R"({"a": 0, "b": 1, "<unk>": 2})";
    const auto encode = [&](const char* options, const char* text) {
      return TestTokenizer::FromJson(BpeJson("", vocab, "[]", options))
          ->Encode(text, false)
          .value();
    };
    CHECK(encode("", "axyb") == Ids{0, 1});
    CHECK(encode(R"("unk_token": "<unk>",)", "axyb") == Ids{0, 2, 2, 1});
    CHECK(encode(R"("unk_token": "<unk>", "fuse_unk": true,)", "xxaxybx") == Ids{2, 0, 2, 1, 2});
  }

  TEST_CASE("symbols without a token fall back to their bytes if all of those are tokens") {
    const char* vocab =
        R"({"a": 0, "<unk>": 1, "<0xC3>": 2, "<0xA9>": 3, "<0xA8>": 4, "<0xe2>": 5})";
    const TestTokenizer tokenizer = TestTokenizer::FromJson(
        BpeJson("", vocab, "[]", R"("byte_fallback": true, "unk_token": "<unk>",)"));
    CHECK(tokenizer->Encode("aéè", false).value() == Ids{0, 2, 3, 2, 4});
    CHECK(tokenizer->Encode("€", false).value() == Ids{1});
  }

  TEST_CASE("a piece that is a token is taken whole where merges are ignored") {
    const char* vocab = R"({"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4})";
    const char* merges = R"(["a b"])";
    const auto encode = [&](const char* options, const char* text) {
      return TestTokenizer::FromJson(BpeJson("", vocab, merges, options))
          ->Encode(text, false)
          .value();
    };
    CHECK(encode("", "abc") == Ids{3, 2});
    CHECK(encode(R"("ignore_merges": true,)", "abc") == Ids{4});
    CHECK(encode(R"("ignore_merges": true,)", "abca") == Ids{3, 2, 0});
  }

  TEST_CASE("of two merges of one pair the later counts") {
    const char* vocab = R"({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4})";
    const auto encode = [&](const char* merges) {
      return TestTokenizer::FromJson(BpeJson("", vocab, merges))->Encode("abc", false).value();
    };
    CHECK(encode(R"(["a b", "b c"])") == Ids{3, 2});
    CHECK(encode(R"(["a b", "b c", "a b"])") == Ids{0, 4});
  }
}

}  // namespace
}  // namespace graft::test
