// SPDX-License-Identifier: Apache-2.0
// Tokenizers made to hang or to fill the memory: every text ends, with an error, in about a second.
#include <atomic>
#include <ctime>
#include <string>

#include <doctest/doctest.h>

#include "tests/runtime/tokenizer/text_fixture.h"
#include "tests/support/slow_here.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

// Where nothing slows it down, far more than it takes. Before any of this was counted, it took minutes.
constexpr double kMostSeconds = 60.0;

std::string Repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

constexpr char kVocabulary[] = R"({"a": 0, "b": 1, "ab": 2})";

TestTokenizer WithMembers(const std::string& members) {
  return TestTokenizer::FromJson(BpeJson(members, kVocabulary, R"(["a b"])"));
}

std::string Regex(std::string_view pattern) {
  return R"({"Regex": ")" + std::string(pattern) + R"("})";
}

std::string Split(const std::string& pattern) {
  return R"({"type": "Split", "pattern": )" + pattern +
         R"(, "behavior": "Isolated", "invert": false})";
}

std::string Replace(const std::string& pattern, const std::string& content) {
  return R"({"type": "Replace", "pattern": )" + pattern + R"(, "content": ")" + content + R"("})";
}

std::string PreTokenizer(const std::string& steps) {
  return R"("pre_tokenizer": {"type": "Sequence", "pretokenizers": [)" + steps + "]},";
}
std::string Normalizer(const std::string& steps) {
  return R"("normalizer": {"type": "Sequence", "normalizers": [)" + steps + "]},";
}

template <typename Work>
Status Timed(const Work& work) {
  const std::clock_t started = std::clock();
  const Status status = work();
  const double seconds = static_cast<double>(std::clock() - started) / CLOCKS_PER_SEC;
  CAPTURE(status.message());
  CHECK((kIsSlow || seconds < kMostSeconds));
  return status;
}

// How it ends is a matter of how fast the machine is.
template <typename Work>
void CheckEnded(const Work& work) {
  const Status status = Timed(work);
  CHECK((status.ok() || status.code() == StatusCode::kCorrupt));
}

void CheckStopped(const std::string& members, const std::string& text) {
  CAPTURE(members.substr(0, 300));
  const TestTokenizer tokenizer = WithMembers(members);
  const Status status = Timed([&] { return tokenizer->Encode(text, false).status(); });
  CHECK(status.code() == StatusCode::kCorrupt);
}

void CheckFinished(const std::string& members, const std::string& text) {
  CAPTURE(members.substr(0, 300));
  const TestTokenizer tokenizer = WithMembers(members);
  const Status status = Timed([&] { return tokenizer->Encode(text, false).status(); });
  CHECK_MESSAGE(status.ok(), status.message());
}

TEST_SUITE("tokenizer/limits") {
  TEST_CASE("a pattern that reads all of the text at each place is stopped") {
    const std::string text = Repeated("ab", 30000);
    // For each search, and within one search: neither is what PCRE2 counts.
    CheckStopped(PreTokenizer(Split(Regex(".(?=[^\\u0001]*+)"))), text);
    if (kSomeOfAll) return;
    CheckStopped(PreTokenizer(Split(Regex(".(?=(?:.(?=[^\\u0001]*+))*+)"))), text);
    CheckStopped(Normalizer(Replace(Regex(".(?=[^\\u0001]*+)"), "a")), text);
  }

  TEST_CASE("two bytes do not become a megabyte") {
    const std::string grow = Replace(R"({"String": "a"})", std::string(1000, 'a'));
    CheckStopped(Normalizer(grow + "," + grow), "ab");
    CheckStopped(Normalizer(grow + "," + grow + "," + grow), "a");
    // Nor by parts: each added token cuts off another part that may grow.
    CheckStopped(
        R"("added_tokens": [{"id": 1, "content": "b", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": false}],)" +
            Normalizer(Replace(R"({"String": "a"})", std::string(1000, 'a'))),
        Repeated("ab", 100000));
    // Nor by pieces that are cut, and made longer, again and again.
    const std::string longer =
        R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false})";
    std::string steps;
    for (int i = 0; i < 30; ++i) steps += longer + "," + Split(Regex(".")) + ",";
    CheckStopped(PreTokenizer(steps + longer), Repeated("a", 1000));
  }

  TEST_CASE("marks out of order take no square of their number") {
    for (const char* form : {"NFC", "NFD", "NFKC", "NFKD"}) {
      CheckFinished(Normalizer(std::string(R"({"type": ")") + form + "\"}"),
                    "a" + Repeated("\xCC\x81", 60000) + Repeated("\xCC\x96", 60000));
    }
  }

  TEST_CASE("white space that tokens take along is looked at once") {
    const std::string text = Repeated(" ", 300000);
    CheckFinished(R"("added_tokens": [{"id": 1, "content": " ", "single_word": false,
                     "lstrip": true, "rstrip": true, "normalized": false, "special": false}],)",
                  text);
    CheckFinished(R"("added_tokens": [{"id": 1, "content": " ", "single_word": false,
                     "lstrip": false, "rstrip": true, "normalized": false, "special": false}],)",
                  text);
  }

  TEST_CASE("tokens that are nearly there take no more than a second or so") {
    const auto added = [](const std::string& content) {
      return R"("added_tokens": [{"id": 1, "content": ")" + content + R"(", "single_word": false,
             "lstrip": false, "rstrip": false, "normalized": false, "special": false}],)";
    };
    const TestTokenizer tokenizer = WithMembers(added(std::string(4000, 'a') + "b"));
    const std::string text(kSomeOfAll ? 30'000 : kIsSlow ? 100'000 : 500'000, 'a');
    CheckEnded([&] { return tokenizer->Encode(text, false).status(); });
    const TestTokenizer unigram = TestTokenizer::FromJson(
        R"({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["<u>", 0], ["a", -1], [")" +
        std::string(510, 'a') + R"(b", -2]]}})");
    CheckEnded([&] { return unigram->Encode(text, false).status(); });
  }

  TEST_CASE("a decoder makes no more of tokens than it may") {
    std::string steps;
    for (int i = 0; i < 20; ++i) steps += Replace(R"({"String": "a"})", std::string(30, 'a')) + ",";
    const TestTokenizer tokenizer = WithMembers(R"("decoder": {"type": "Sequence", "decoders": [)" +
                                                steps + R"({"type": "Fuse"}]},)");
    const std::vector<int32_t> ids = {0, 0, 0};
    CHECK(Timed([&] { return tokenizer->Decode(ids, false).status(); }).code() ==
          StatusCode::kCorrupt);
    const TestTokenizer fused =
        WithMembers(R"("decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"},)" + steps +
                    R"({"type": "Fuse"}]},)");
    CHECK(Timed([&] { return fused->Decode(ids, false).status(); }).code() == StatusCode::kCorrupt);
  }

  TEST_CASE("an encoding that is cancelled ends") {
    const TestTokenizer tokenizer = WithMembers("");
    const std::atomic<bool> cancel{true};
    CHECK(tokenizer->Encode(std::string(300000, 'a'), false, &cancel).status().code() ==
          StatusCode::kCancelled);
    const std::atomic<bool> go_on{false};
    CHECK(tokenizer->Encode(std::string(300000, 'a'), false, &go_on).ok());
    // What one text was charged is not charged to the next.
    for (int i = 0; i < 50; ++i) CHECK(tokenizer->Encode(std::string(10000, 'a'), false).ok());
  }
}

}  // namespace
}  // namespace graft::test
