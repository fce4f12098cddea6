// SPDX-License-Identifier: Apache-2.0
// One text and two texts as one input, with types, whole and cut, against Hugging Face's
// tokenizers.
#include <optional>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

Ids ReadIds(const converter::JsonValue& array) {
  Ids ids;
  for (size_t i = 0; i < array.size(); ++i) {
    ids.push_back(static_cast<int32_t>(array.at(i).AsInt().value()));
  }
  return ids;
}

void CheckRows(const std::string& name) {
  const std::string path = std::string(GRAFT_TEST_DATA) + "/tokenizers/pairs/" + name;
  const TestTokenizer tokenizer =
      TestTokenizer::FromJson(converter::ReadTextFile(path + ".json", 1 << 20).value());
  const std::string rows = converter::ReadTextFile(path + ".jsonl", 1 << 20).value();
  int count = 0;
  for (size_t at = 0; at < rows.size(); ++count) {
    const size_t end = rows.find('\n', at);
    const std::string line = rows.substr(at, end - at);
    at = end + 1;
    const auto document = converter::JsonDocument::Parse(line, name).value();
    const converter::JsonValue row = document->root();
    const std::string first = row.GetString("first").value();
    const std::string second = row.GetString("second", "").value();
    const bool special = row.GetBool("special").value();
    const auto typed = tokenizer->EncodeTyped(
        first, row.Has("second") ? std::optional<std::string_view>(second) : std::nullopt, special,
        static_cast<size_t>(row.GetInt("max_tokens").value()));
    CAPTURE(line);
    REQUIRE_MESSAGE(typed.ok(), typed.status().message());
    CHECK(typed->ids == ReadIds(row.Find("ids")));
    CHECK(typed->type_ids == ReadIds(row.Find("type_ids")));
  }
  CHECK(count == 88);
}

TEST_SUITE("text/pair") {
  TEST_CASE("without a post-processor texts follow each other") { CheckRows("none"); }
  TEST_CASE("BertProcessing's marks and types") { CheckRows("bert"); }
  TEST_CASE("RobertaProcessing's marks, and no types") { CheckRows("roberta"); }
  TEST_CASE("a template's marks, types and order") { CheckRows("template"); }

  TEST_CASE("refuses a limit that has no room for what goes around the texts") {
    const TestTokenizer bert = TestTokenizer::FromFolder(TokenizerFolder("bert"));
    CHECK(bert->EncodeTyped("a", "b", true, 2).status().code() == StatusCode::kInvalidArgument);
    CHECK(bert->EncodeTyped("a", "b", true, 3)->ids == Ids{101, 102, 102});
    CHECK(bert->EncodeTyped("a", "b", false, 1)->ids.size() == 1);
  }

  TEST_CASE("cuts texts where the file says so") {
    const TestTokenizer bert = TestTokenizer::FromFolder(TokenizerFolder("bert"));
    std::string text;
    for (int i = 0; i < 300; ++i) text += "a ";
    CHECK(bert->Encode(text, true)->size() == 256);
    CHECK(bert->Encode(text, false)->size() == 256);
    CHECK(bert->EncodeTyped(text, text, true, 0)->ids.size() == 256);
    CHECK(bert->EncodeTyped(text, text, true, 400)->ids.size() == 400);
  }
}

}  // namespace
}  // namespace graft::test
