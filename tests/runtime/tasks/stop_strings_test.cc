// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/stop_strings.h"

#include <algorithm>
#include <random>

#include <doctest/doctest.h>

namespace graft::runtime {
namespace {

/// What comes out of `text` fed in parts of the sizes given (the last one repeats).
std::string Feed(StopStrings stop, std::string_view text, const std::vector<size_t>& sizes,
                 bool* stopped = nullptr) {
  std::string out;
  bool has_stopped = false;
  for (size_t at = 0, i = 0; at < text.size() && !has_stopped; ++i) {
    const size_t size = sizes[std::min(i, sizes.size() - 1)];
    has_stopped = stop.Append(text.substr(at, size), &out);
    at += size;
  }
  stop.Finish(&out);
  if (stopped != nullptr) *stopped = has_stopped;
  return out;
}

TEST_SUITE("text/stop_strings") {
  TEST_CASE("a string is found wherever the parts are cut") {
    for (const size_t size : {1, 2, 3, 5, 100}) {
      bool stopped = false;
      CHECK(Feed(StopStrings({"END"}), "some text ENENDmore", {size}, &stopped) == "some text EN");
      CHECK(stopped);
      CHECK(Feed(StopStrings({"END"}), "some text EN", {size}, &stopped) == "some text EN");
      CHECK(!stopped);
    }
  }

  TEST_CASE("what may become a string is held back, and nothing else") {
    StopStrings stop({"aab"});
    std::string out;
    CHECK(!stop.Append("xa", &out));
    CHECK(out == "x");
    CHECK(!stop.Append("a", &out));
    CHECK(out == "x");
    CHECK(!stop.Append("a", &out));
    CHECK(out == "xa");
    CHECK(stop.Append("b", &out));
    CHECK(out == "xa");
    CHECK(stop.Append("more", &out));
    CHECK(out == "xa");
  }

  TEST_CASE("the string that is complete first wins, then the longest") {
    for (const size_t size : {1, 2, 7}) {
      CHECK(Feed(StopStrings({"abc", "b"}), "xabcd", {size}) == "xa");
      CHECK(Feed(StopStrings({"c", "abc"}), "xabcd", {size}) == "x");
    }
  }

  TEST_CASE("random texts and strings give what a plain search gives") {
    std::mt19937 random(11);
    const auto word = [&](size_t most) {
      std::string text(1 + random() % most, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 2);
      return text;
    };
    for (int round = 0; round < 5000; ++round) {
      const std::string text = word(30);
      const std::vector<std::string> strings = {word(5), word(5)};
      size_t best_end = std::string::npos;
      size_t best_begin = std::string::npos;
      for (const std::string& string : strings) {
        const size_t begin = text.find(string);
        if (begin == std::string::npos) continue;
        const size_t end = begin + string.size();
        if (end < best_end || (end == best_end && begin < best_begin)) {
          best_end = end;
          best_begin = begin;
        }
      }
      const std::vector<size_t> sizes = {1 + random() % 4, 1 + random() % 4, 1 + random() % 4};
      CHECK(Feed(StopStrings(strings), text, sizes) == text.substr(0, best_begin));
    }
  }

  TEST_CASE("empty strings stop nothing") {
    bool stopped = true;
    CHECK(Feed(StopStrings({""}), "text", {1}, &stopped) == "text");
    CHECK(!stopped);
  }
}

}  // namespace
}  // namespace graft::runtime
