// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/options.h"

#include <doctest/doctest.h>

namespace graft_run {
namespace {

struct Parsed {
  std::string file;
  std::string problem;
  bool flag = false;
  bool has_text = false;
  std::string text;
  std::vector<std::string> list;
  uint64_t whole = 7;
  double real = 0.5;
};

Parsed Parse(std::vector<std::string> words) {
  Parsed parsed;
  words.insert(words.begin(), "command");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  Options options;
  options.Flag("flag", &parsed.flag);
  options.String("text", 'o', &parsed.text, &parsed.has_text);
  options.StringList("each", &parsed.list);
  options.Integer("whole", 'w', &parsed.whole, 1, 100);
  options.Float("real", &parsed.real, 0, 2);
  parsed.problem = options.Parse(static_cast<int>(words.size()), argv.data(), &parsed.file);
  return parsed;
}

TEST_SUITE("platforms/options") {
  TEST_CASE("options come in any order, long and short") {
    const Parsed parsed = Parse({"--flag", "-w", "3", "model", "--text=a b", "--each", "x",
                                 "--each", "", "--real", "1.25"});
    CHECK(parsed.problem.empty());
    CHECK(parsed.file == "model");
    CHECK(parsed.flag);
    CHECK(parsed.has_text);
    CHECK(parsed.text == "a b");
    CHECK(parsed.list == std::vector<std::string>{"x", ""});
    CHECK(parsed.whole == 3);
    CHECK(parsed.real == 1.25);
  }

  TEST_CASE("what is not given keeps its value") {
    const Parsed parsed = Parse({"model"});
    CHECK(parsed.problem.empty());
    CHECK(!parsed.has_text);
    CHECK(parsed.whole == 7);
    CHECK(parsed.real == 0.5);
  }

  TEST_CASE("a value may look like an option, and a file too behind --") {
    CHECK(Parse({"--text", "--flag", "model"}).text == "--flag");
    CHECK(Parse({"--", "-model"}).file == "-model");
  }

  TEST_CASE("mistakes are named") {
    const auto problem = [](std::vector<std::string> words, const char* part) {
      const Parsed parsed = Parse(std::move(words));
      CAPTURE(parsed.problem);
      CHECK(parsed.problem.find(part) != std::string::npos);
    };
    problem({}, "FILE");
    problem({"a", "b"}, "\"b\"");
    problem({"a", "--odd"}, "--odd");
    problem({"a", "-z"}, "-z");
    problem({"a", "--whole"}, "--whole");
    problem({"a", "--whole", "0"}, "between 1 and 100");
    problem({"a", "--whole", "101"}, "101");
    problem({"a", "--whole", "3x"}, "3x");
    problem({"a", "--whole", ""}, "--whole");
    problem({"a", "--whole", "-1"}, "-1");
    problem({"a", "--whole", "99999999999999999999"}, "999");
    problem({"a", "--real", "nan"}, "nan");
    problem({"a", "--real", "2.5"}, "2.5");
    problem({"a", "--real", "x"}, "--real");
    problem({"a", "--flag=1"}, "--flag=1");
  }

  TEST_CASE("ids are numbers with commas between them") {
    std::vector<int32_t> ids;
    CHECK(ParseIds("1,2, 3 ", &ids).empty());
    CHECK(ids == std::vector<int32_t>{1, 2, 3});
    for (const char* text : {"", "1,,2", "x", "-1", "1;2", "4294967296", "1 2"}) {
      CAPTURE(text);
      ids.clear();
      CHECK(!ParseIds(text, &ids).empty());
    }
  }
}

}  // namespace
}  // namespace graft_run
