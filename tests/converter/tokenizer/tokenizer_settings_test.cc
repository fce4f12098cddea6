// SPDX-License-Identifier: Apache-2.0
// Settings beside a tokenizer: the ids that transformers' classes give.
#include "converter/tokenizer/tokenizer_settings.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_files.h"
#include "converter/tokenizer/tokenizer_json.h"
#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using converter::JsonDocument;
using converter::JsonValue;

const std::string kCases = std::string(GRAFT_TEST_DATA) + "/tokenizers/settings";

/// A folder that goes with the test.
struct SettingsFolder {
  fs::path path = fs::temp_directory_path() / ("graft_settings_" + std::to_string(getpid()));
  SettingsFolder() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~SettingsFolder() { fs::remove_all(path); }
  void Write(std::string_view name, std::string_view text) const {
    std::ofstream(path / name, std::ios::binary) << text;
  }
};

std::vector<int32_t> ListedIds(const JsonValue& list) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i)
    ids.push_back(static_cast<int32_t>(list.at(i).AsInt().value()));
  return ids;
}

void CheckCase(const JsonValue& root) {
  const SettingsFolder folder;
  const JsonValue files = root.Find("files");
  for (size_t i = 0; i < files.size(); ++i) {
    const JsonValue file = files.at(i);
    if (file.IsString()) {
      folder.Write(files.key(i), *file.AsString());
    } else {
      fs::copy_file(fs::path(kCases) / *file.GetString("from"), folder.path / files.key(i));
    }
  }
  const auto context = converter::ContextOf(root.Find("config"));
  REQUIRE(context.ok());
  const TestTokenizer tokenizer = TestTokenizer::FromFolder(folder.path.string(), *context);
  const JsonValue texts = root.Find("texts");
  CHECK(texts.size() > 3);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text(*texts.at(i).at(0).AsString());
    CAPTURE(text);
    CHECK(tokenizer->Encode(text, true).value() == ListedIds(texts.at(i).at(1)));
  }
  const auto pair = tokenizer->EncodeTyped("the", "man", true, 0);
  REQUIRE(pair.ok());
  CHECK(pair->ids == ListedIds(root.Find("pair")));
}

/// The fault of a tokenizer.json with these settings beside it.
std::string SettingsFault(const std::string& tokenizer, const std::string& settings, int64_t rows) {
  const SettingsFolder folder;
  fs::copy_file(kCases + "/" + tokenizer, folder.path / "tokenizer.json");
  folder.Write("tokenizer_config.json", settings);
  const auto read =
      converter::ReadTokenizerFiles(folder.path, {.model_type = "bert", .embedding_rows = rows});
  return read.ok() ? "" : std::string(read.status().message());
}

TEST_SUITE("converter/tokenizer_settings") {
  TEST_CASE("settings beside a tokenizer give transformers' ids") {
    std::ifstream in(kCases + "/cases.jsonl");
    size_t cases = 0;
    for (std::string line; std::getline(in, line); ++cases) {
      const auto document = JsonDocument::Parse(line, "cases.jsonl");
      REQUIRE(document.ok());
      const std::string name = *(*document)->root().GetString("name");
      CAPTURE(name);
      CheckCase((*document)->root());
    }
    CHECK(cases == 76);
  }

  TEST_CASE("names settings that are not computed, or make no sense") {
    CHECK(SettingsFault("words.json", "{}", 100).empty());
    CHECK(SettingsFault("words.json", R"({"split_special_tokens": true})", 100)
              .find("split_special_tokens") != std::string::npos);
    CHECK(SettingsFault("words.json", R"({"tokenizer_class": "RoFormerTokenizerFast"})", 100)
              .find("jieba") != std::string::npos);
    CHECK(SettingsFault("words.json", R"({"do_lower_case": 1})", 100).find("do_lower_case") !=
          std::string::npos);
    CHECK(SettingsFault("words.json", R"({"cls_token": "<nowhere>"})", 25).find("<nowhere>") !=
          std::string::npos);
    CHECK(SettingsFault("words.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})", 100)
              .find("token id") != std::string::npos);
    CHECK(SettingsFault("words.json", R"({"extra_special_tokens": [5]})", 100)
              .find("must be a token") != std::string::npos);
    CHECK(SettingsFault("words.json", R"({"added_tokens_decoder": {"5": {"content": 5}}})", 100)
              .find("content") != std::string::npos);
  }

  TEST_CASE("padding that the embedding has no row for is left out, other tokens are not") {
    const SettingsFolder folder;
    fs::copy_file(kCases + "/bytes.json", folder.path / "tokenizer.json");
    const auto size = [&](const char* settings, int64_t rows) {
      folder.Write("tokenizer_config.json", settings);
      return TestTokenizer::FromFolder(folder.path.string(), {.embedding_rows = rows})->size();
    };
    CHECK(size("{}", 267) == 267);
    CHECK(size(R"({"pad_token": "[PAD]"})", 267) == 267);
    CHECK(size(R"({"pad_token": "[PAD]"})", 268) == 268);
    CHECK(size(R"({"eos_token": "[END]"})", 267) == 268);
    CHECK(size(R"({"added_tokens_decoder": {"9": {"content": "new"}}})", 267) == 268);
  }

  TEST_CASE("no damage to settings does more than fail") {
    const std::string settings =
        R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false, "cls_token": "<c>",
            "added_tokens_decoder": {"25": {"content": "x", "special": true}},
            "extra_special_tokens": ["y"], "pad_token": {"content": "z"}})";
    std::ostringstream text;
    text << std::ifstream(kCases + "/words.json").rdbuf();
    const std::string tokenizer = text.str();
    for (size_t i = 0; i < 400; ++i) {
      const SettingsFolder folder;
      std::string broken_settings = settings;
      std::string broken = tokenizer;
      broken_settings[(i * 7) % settings.size()] = "{}[]\",:05"[i % 9];
      if (i % 2 == 0) broken[(i * 31) % broken.size()] = "{}[]\",:05"[i % 9];
      folder.Write("tokenizer.json", broken);
      folder.Write("tokenizer_config.json", broken_settings);
      flatbuffers::FlatBufferBuilder builder;
      const auto read = converter::ReadTokenizerFiles(folder.path, {.model_type = "bert"});
      if (read.ok()) (void)converter::BuildTokenizer(builder, **read);
    }
  }
}

}  // namespace
}  // namespace graft::test
