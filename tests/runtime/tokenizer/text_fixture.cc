// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/tokenizer/text_fixture.h"

#include <fstream>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_files.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "schema/verify_tokenizer.h"

namespace graft::test {
namespace {

std::vector<int32_t> ReadIds(const converter::JsonValue& array) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < array.size(); ++i) {
    ids.push_back(static_cast<int32_t>(array.at(i).AsInt().value()));
  }
  return ids;
}

}  // namespace

void TestTokenizer::Finish() {
  const Status verified = schema::VerifyTokenizer(tables(), 0);
  REQUIRE_MESSAGE(verified.ok(), verified.message());
  auto created = runtime::Tokenizer::Create(tables());
  REQUIRE_MESSAGE(created.ok(), created.status().message());
  tokenizer_ = std::move(created).value();
}

TestTokenizer TestTokenizer::FromFolder(const std::string& folder,
                                        const converter::TokenizerContext& context) {
  TestTokenizer result;
  const auto document = converter::ReadTokenizerFiles(folder, context);
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  REQUIRE(*document != nullptr);
  const auto built = converter::BuildTokenizer(*result.builder_, **document);
  REQUIRE_MESSAGE(built.ok(), built.status().message());
  result.builder_->Finish(*built);
  result.Finish();
  return result;
}

TestTokenizer TestTokenizer::FromJson(std::string_view json) {
  TestTokenizer result;
  const auto document = converter::JsonDocument::Parse(json, "tokenizer.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  const auto built = converter::BuildTokenizer(*result.builder_, (*document)->root());
  REQUIRE_MESSAGE(built.ok(), built.status().message());
  result.builder_->Finish(*built);
  result.Finish();
  return result;
}

std::string TokenizerFolder(const std::string& name) {
  const std::string data = GRAFT_TEST_DATA;
  if (name == "tales") return data + "/tales/base";
  if (name == "stories260k") return data + "/stories260k";
  return data + "/tokenizers/" + name;
}

TestTokenizer UnigramTokenizer(const std::string& name) {
  const std::string path = std::string(GRAFT_TEST_DATA) + "/tokenizers/unigram/" + name + ".json";
  return TestTokenizer::FromJson(converter::ReadTextFile(path, 1 << 20).value());
}

std::vector<ReferenceText> ReadReferenceTexts(const std::string& name) {
  return ReadReferenceRows(name + "/texts.jsonl");
}

std::vector<ReferenceText> ReadReferenceRows(const std::string& name) {
  std::ifstream file(std::string(GRAFT_TEST_DATA) + "/tokenizers/" + name);
  std::vector<ReferenceText> texts;
  for (std::string line; std::getline(file, line);) {
    const auto document = converter::JsonDocument::Parse(line, name);
    REQUIRE_MESSAGE(document.ok(), document.status().message());
    const converter::JsonValue row = (*document)->root();
    ReferenceText text;
    text.text = row.GetString("text").value();
    text.decoded = row.GetString("decoded", text.text).value();
    text.ids = ReadIds(row.Find("ids"));
    text.ids_special = row.Has("ids_special") ? ReadIds(row.Find("ids_special")) : text.ids;
    texts.push_back(std::move(text));
  }
  return texts;
}

std::string BpeJson(std::string_view members, std::string_view vocab, std::string_view merges,
                    std::string_view model_members) {
  std::string json = "{";
  json.append(members).append(R"("model": {"type": "BPE", )").append(model_members);
  json.append("\"vocab\": ").append(vocab).append(", \"merges\": ").append(merges).append("}}");
  return json;
}

}  // namespace graft::test
