// SPDX-License-Identifier: Apache-2.0
// Reading JSON: limits hold, order is kept, and every complaint names file and key.
#include "converter/json/json.h"

#include <doctest/doctest.h>

#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

std::string FaultOf(std::string_view text, const JsonLimits& limits = {}) {
  const auto document = JsonDocument::Parse(text, "f.json", limits);
  return document.ok() ? "" : std::string(document.status().message());
}

TEST_SUITE("converter/json") {
  TEST_CASE("hands out members by name and in the file's order") {
    const auto document = JsonDocument::Parse(
        R"({"z": 1, "a": {"b": [true, 2.5, "x\u00e9\n", null]}, "big": 18446744073709551615})",
        "f.json");
    REQUIRE(document.ok());
    const JsonValue root = (*document)->root();
    CHECK(root.size() == 3);
    CHECK(root.key(0) == "z");
    CHECK(root.key(1) == "a");
    CHECK(*root.GetInt("z") == 1);
    CHECK(*root.GetDouble("z") == 1.0);
    const JsonValue list = root.Find("a").Find("b");
    REQUIRE(list.size() == 4);
    CHECK(*list.at(0).AsBool());
    CHECK(*list.at(1).AsDouble() == 2.5);
    CHECK(*list.at(2).AsString() == "x\xC3\xA9\n");
    CHECK(list.at(3).IsNull());
    CHECK(list.at(3).path() == "a.b[3]");
    CHECK(*root.GetDouble("big") == 18446744073709551615.0);
    CHECK_FALSE(root.Has("absent"));
    CHECK(root.Find("absent").Find("deeper").IsNull());
  }

  TEST_CASE("gives fallbacks for what is missing or null, and errors for what is of another kind") {
    const auto document =
        JsonDocument::Parse(R"({"n": null, "s": "text", "inner": {"f": 1.5}})", "f.json");
    REQUIRE(document.ok());
    const JsonValue root = (*document)->root();
    CHECK(*root.GetInt("n", 7) == 7);
    CHECK(*root.GetString("m", "other") == "other");
    CHECK(root.GetInt("s", 7).status().message() ==
          "f.json: 's' must be an integer, but is a string");
    CHECK(root.GetInt("n").status().message() == "f.json: 'n' must be an integer, but is null");
    CHECK(root.GetString("m").status().message() == "f.json: 'm' is missing; it must be a string");
    CHECK(root.Find("inner").GetInt("f").status().message() ==
          "f.json: 'inner.f' must be an integer, but is a number");
    CHECK(root.Find("inner").GetIntIn("f", 0, 3).status().code() == StatusCode::kCorrupt);
  }

  TEST_CASE("refuses integers outside their limits and names the limits") {
    const auto document = JsonDocument::Parse(R"({"layers": 99})", "f.json");
    REQUIRE(document.ok());
    CHECK((*document)->root().GetIntIn("layers", 1, 48).status().message() ==
          "f.json: 'layers' is 99, outside 1 to 48");
    CHECK(*(*document)->root().GetIntIn("layers", 1, 99) == 99);
  }

  TEST_CASE("refuses what is not one JSON text") {
    for (const char* text : {"", "{", "{\"a\":}", "[1,]", "{} {}", "nul", "{\"a\":1,}", "\"\x80\"",
                             "[1e999]", "'a'"}) {
      INFO(text);
      CHECK_FALSE(FaultOf(text).empty());
    }
    CHECK(FaultOf("{\"a\":}").find("f.json: is not valid JSON at byte") == 0);
  }

  TEST_CASE("refuses a key twice in one object, but not in two") {
    CHECK(FaultOf(R"({"a": {"k": 1, "x": 2, "k": 3}})") ==
          "f.json: has the key 'k' twice in one object");
    CHECK(FaultOf(R"({"a": {"k": 1}, "b": {"k": 1}})").empty());
  }

  TEST_CASE("holds to its limits of depth, values and bytes") {
    JsonLimits limits;
    limits.max_depth = 3;
    CHECK(FaultOf("[[[1]]]", limits).empty());
    CHECK(FaultOf("[[[[1]]]]", limits) == "f.json: is nested deeper than 3 levels");
    limits = {};
    limits.max_values = 4;
    CHECK(FaultOf("[1,2,3]", limits).empty());
    CHECK(FaultOf("[1,2,3,4]", limits) == "f.json: holds more than 4 values");
    limits = {};
    limits.max_bytes = 5;
    CHECK(FaultOf("[1,2]", limits).empty());
    CHECK_FALSE(FaultOf("[1,23]", limits).empty());
    // Deep nesting must not use the stack.
    CHECK_FALSE(FaultOf(std::string(1 << 20, '[')).empty());
  }

  TEST_CASE("finds each of many members") {
    std::string text = "{";
    for (int i = 0; i < 5000; ++i)
      text +=
          (i > 0 ? ",\"k" : "\"k") + std::to_string(i * 7919 % 5000) + "\":" + std::to_string(i);
    const auto document = JsonDocument::Parse(text + "}", "f.json");
    REQUIRE(document.ok());
    for (int i = 0; i < 5000; i += 13) {
      CHECK(*(*document)->root().GetInt("k" + std::to_string(i * 7919 % 5000)) == i);
    }
  }

  TEST_CASE("reads files within the size limit only") {
    const TemporaryFolder folder;
    WriteText(folder / "a.json", "[1, 2, 3]");
    CHECK(JsonDocument::Read(folder / "a.json").ok());
    JsonLimits limits;
    limits.max_bytes = 8;
    CHECK(JsonDocument::Read(folder / "a.json", limits).status().code() == StatusCode::kCorrupt);
    CHECK(JsonDocument::Read(folder / "b.json").status().code() == StatusCode::kNotFound);
    CHECK(JsonDocument::Read(folder.path()).status().code() == StatusCode::kIo);
  }

  TEST_CASE("shows values and quotes strings for messages") {
    const auto document = JsonDocument::Parse(R"({"a": [1, "b\"", {"c": false}]})", "f.json");
    REQUIRE(document.ok());
    CHECK((*document)->root().Text() == R"({"a": [1, "b\"", {"c": false}]})");
    CHECK(JsonQuote("a\"\n\x01") == "\"a\\\"\\n\\u0001\"");
  }
}

}  // namespace
}  // namespace graft::converter
