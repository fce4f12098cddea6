// SPDX-License-Identifier: Apache-2.0
// What sentence-transformers keeps beside a model: where it cuts texts, lowercases them and what it
// puts before them. Numbers of tokens are what its version 6.2 gives for the same files.
#include "converter/describe/sentence_files.h"

#include <filesystem>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/converter/lower/converted_file.h"
#include "tests/support/small_files.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

/// A sentence encoder of 40 positions, with a tokenizer of words.
class SentenceBench {
 public:
  SentenceBench() {
    CopyFolder(TestData("architectures/minilm_mean"), folder_.path());
    Truncation("null");
  }
  void Truncation(std::string_view truncation) const {
    const std::string whole = ReadBytes(TestData("tokenizers/settings/words.json"));
    WriteText(folder_ / "tokenizer.json", whole);
    EditFile(folder_ / "tokenizer.json", R"("truncation": null)",
             R"("truncation": )" + std::string(truncation));
  }
  void Write(std::string_view file, std::string_view text) const {
    WriteText(folder_ / file, text);
  }
  void Remove(std::string_view file) const { fs::remove(folder_ / file); }

  Status TryConvert() const {
    return ConvertModel({folder_.path(), {}, {}, output_ / "model.graft"}).status();
  }
  LoadedModel Convert() const {
    const Status status = TryConvert();
    REQUIRE_MESSAGE(status.ok(), status.message());
    return LoadedModel(output_ / "model.graft");
  }
  uint32_t Limit() const { return Convert().model().tokenizer()->max_tokens(); }
  bool CutsStart() const { return Convert().model().tokenizer()->cuts_start(); }
  bool Lowercases() const {
    const LoadedModel model = Convert();
    const auto* steps = model.model().tokenizer()->normalizer();
    return steps != nullptr && steps->size() > 0 &&
           steps->Get(0)->kind() == schema::fb::NormalizerKind::Lowercase;
  }
  bool Refuses(std::string_view word) const {
    const Status status = TryConvert();
    return !status.ok() && status.message().find(word) != std::string_view::npos;
  }

 private:
  TemporaryFolder folder_;
  TemporaryFolder output_;
};

constexpr const char* kCutToEight =
    R"({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0})";

TEST_SUITE("converter/sentence_files") {
  TEST_CASE("texts are cut to max_seq_length, or to what tokenizer and model take") {
    const SentenceBench bench;
    bench.Truncation(kCutToEight);
    CHECK(bench.Limit() == 40);  // the model's positions
    bench.Write("tokenizer_config.json", R"({"model_max_length": 12})");
    CHECK(bench.Limit() == 12);
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 16})");
    CHECK(bench.Limit() == 16);
    bench.Write("tokenizer_config.json",
                R"({"model_max_length": 1000000000000000019884624838656})");
    CHECK(bench.Limit() == 16);
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": null})");
    CHECK(bench.Limit() == 40);
    bench.Write("sentence_bert_config.json",
                R"({"max_seq_length": 10, "tokenizer_args": {"model_max_length": 6}})");
    CHECK(bench.Limit() == 6);
    // More than the model has: sentence-transformers fails for such a text.
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 1000})");
    CHECK(bench.Limit() == 40);
    bench.Remove("sentence_bert_config.json");
    bench.Write("sentence_roberta_config.json", R"({"max_seq_length": 20})");
    CHECK(bench.Limit() == 20);
    // Without modules.json nothing of it counts.
    bench.Remove("modules.json");
    CHECK(bench.Limit() == 40);
  }

  TEST_CASE("texts are cut on the side that settings name") {
    const SentenceBench bench;
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 10})");
    CHECK_FALSE(bench.CutsStart());
    bench.Truncation(
        R"({"direction": "Left", "max_length": 8, "strategy": "LongestFirst", "stride": 0})");
    CHECK(bench.CutsStart());
    bench.Write("tokenizer_config.json", R"({"truncation_side": "right"})");
    CHECK_FALSE(bench.CutsStart());
    bench.Truncation(kCutToEight);
    bench.Write("tokenizer_config.json", R"({"truncation_side": "left"})");
    CHECK(bench.CutsStart());
  }

  TEST_CASE("texts are lowercased where the sentence's settings say so") {
    const SentenceBench bench;
    bench.Write("tokenizer_config.json", R"({"do_lower_case": false})");
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 16, "do_lower_case": false})");
    CHECK_FALSE(bench.Lowercases());
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 16, "do_lower_case": true})");
    CHECK(bench.Lowercases());
    bench.Remove("modules.json");
    CHECK_FALSE(bench.Lowercases());
  }

  TEST_CASE("the default prompt goes into the file") {
    const SentenceBench bench;
    CHECK(bench.Convert().model().task()->prompt() == nullptr);
    bench.Write("config_sentence_transformers.json",
                R"({"prompts": {"q": "hello "}, "default_prompt_name": "q"})");
    CHECK(bench.Convert().model().task()->prompt()->str() == "hello ");
    bench.Write(
        "config_sentence_transformers.json",
        R"({"prompts": {"q": ")" + std::string(65537, 'x') + R"("}, "default_prompt_name": "q"})");
    CHECK(bench.Refuses("too long"));
  }

  TEST_CASE("settings that are not computed are named") {
    const SentenceBench bench;
    bench.Write("sentence_bert_config.json", R"({"tokenizer_args": {"do_basic_tokenize": 1}})");
    CHECK(bench.Refuses("do_basic_tokenize"));
    bench.Write("sentence_bert_config.json", R"({"processing_kwargs": {"text": {}}})");
    CHECK(bench.Refuses("processing_kwargs"));
    bench.Write("sentence_bert_config.json", R"({"max_seq_length": 0})");
    CHECK(bench.Refuses("max_seq_length"));
    bench.Write("sentence_bert_config.json", "{}");
    bench.Write("config_sentence_transformers.json",
                R"({"prompts": {"a": "A: "}, "default_prompt_name": "b"})");
    CHECK(bench.Refuses("default_prompt_name"));
    bench.Write("config_sentence_transformers.json",
                R"({"prompts": {"a": "A: "}, "default_prompt_name": "a"})");
    bench.Write("1_Pooling/config.json", R"({"pooling_mode": "mean", "include_prompt": false})");
    CHECK(bench.Refuses("include_prompt"));
    bench.Write("config_sentence_transformers.json", R"({"prompts": {"a": "A: "}})");
    CHECK(bench.TryConvert().ok());
    bench.Write("1_Pooling/config.json", R"({"pooling_mode": "weightedmean"})");
    CHECK(bench.Refuses("weightedmean"));
  }

  TEST_CASE("pooling is read as every version writes it, and is the mean unless told") {
    const TemporaryFolder folder;
    WriteText(folder / "modules.json", R"([{"type": "a.b.Pooling", "path": ""}])");
    const auto kind = [&](const char* config) {
      WriteText(folder / "config.json", config);
      const auto settings = ReadSentenceSettings(folder.path());
      REQUIRE_MESSAGE(settings.ok(), settings.status().message());
      CHECK_FALSE(settings->pooling.normalize);
      return settings->pooling.kind;
    };
    CHECK(kind("{}") == TextPooling::Kind::kMean);
    CHECK(kind(R"({"pooling_mode": ["cls"]})") == TextPooling::Kind::kFirst);
    CHECK(kind(R"({"pooling_mode": "lasttoken"})") == TextPooling::Kind::kLast);
    CHECK(kind(R"({"pooling_mode_max_tokens": true})") == TextPooling::Kind::kMax);
  }

  TEST_CASE("the default prompt is the one that is named") {
    const TemporaryFolder folder;
    WriteText(folder / "modules.json", R"([{"type": "Pooling", "path": ""}])");
    WriteText(folder / "config.json", "{}");
    const auto prompt = [&](const char* config) {
      WriteText(folder / "config_sentence_transformers.json", config);
      const auto settings = ReadSentenceSettings(folder.path());
      return settings.ok() ? settings->prompt : std::string(settings.status().message());
    };
    CHECK(prompt(R"({"prompts": {"q": "hello "}, "default_prompt_name": "q"})") == "hello ");
    CHECK(prompt(R"({"prompts": {"q": "hello "}, "default_prompt_name": null})").empty());
    CHECK(prompt(R"({"prompts": {}, "default_prompt_name": "query"})").empty());
    CHECK(prompt(R"({"prompts": {"q": ""}, "default_prompt_name": "q"})").empty());
    CHECK(prompt(R"({"prompts": {}, "default_prompt_name": "zz"})").find("zz") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace graft::converter
