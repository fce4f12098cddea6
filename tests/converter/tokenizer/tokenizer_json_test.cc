// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "schema/verify_tokenizer.h"
#include "tests/runtime/tokenizer/text_fixture.h"

namespace graft::test {
namespace {

Status StatusOf(const std::string& json) {
  const auto document = converter::JsonDocument::Parse(json, "tokenizer.json");
  if (!document.ok()) return document.status();
  flatbuffers::FlatBufferBuilder builder;
  const auto built = converter::BuildTokenizer(builder, (*document)->root());
  return built.ok() ? OkStatus() : built.status();
}

/// Fails unless the status is `code` and its message holds all of `parts`.
void CheckError(const std::string& json, StatusCode code, std::vector<std::string> parts) {
  CAPTURE(json);
  const Status status = StatusOf(json);
  CHECK(status.code() == code);
  parts.push_back("tokenizer.json");
  for (const std::string& part : parts) {
    CAPTURE(status.message());
    CHECK(status.message().find(part) != std::string_view::npos);
  }
}

std::string ReadWhole(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

constexpr char kVocab[] = R"({"a": 0, "b": 1, "ab": 2})";

TEST_SUITE("converter/tokenizer_json") {
  TEST_CASE("a folder without the file has no tokenizer") {
    flatbuffers::FlatBufferBuilder builder;
    const auto built =
        converter::BuildTokenizer(builder, std::string(GRAFT_TEST_DATA) + "/lora_layer");
    REQUIRE(built.ok());
    CHECK(built->IsNull());
  }

  TEST_CASE("a component of an unknown type is named with its place") {
    const auto unknown = StatusCode::kUnsupported;
    CheckError(
        BpeJson(
            R"("normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Odd"}]},)",
            kVocab, "[]"),
        unknown, {"normalizer.normalizers[1]", "Odd"});
    CheckError(BpeJson(R"("pre_tokenizer": {"type": "Odd"},)", kVocab, "[]"), unknown,
               {"pre_tokenizer", "Odd"});
    CheckError(BpeJson(R"("decoder": {"type": "CTC"},)", kVocab, "[]"), unknown,
               {"decoder", "CTC"});
    CheckError(BpeJson(R"("post_processor": {"type": "Odd"},)", kVocab, "[]"), unknown,
               {"post_processor", "Odd"});
    CheckError(R"({"model": {"type": "WordLevel", "vocab": {"a": 0}}})", unknown,
               {"model", "WordLevel"});
    CheckError(BpeJson("", kVocab, "[]", R"("end_of_word_suffix": "</w>",)"), unknown,
               {"end_of_word_suffix", "</w>"});
  }

  TEST_CASE("a WordPiece or Unigram that cannot work is named with its place") {
    const auto corrupt = StatusCode::kCorrupt;
    CheckError(R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})", corrupt, {"unk_token"});
    CheckError(R"({"model": {"type": "WordPiece", "unk_token": "b", "vocab": {"a": 0}}})", corrupt,
               {"unk_token", "vocab"});
    CheckError(R"({"model": {"type": "WordPiece", "unk_token": "a", "vocab": {"a": 0},
                   "max_input_chars_per_word": 100000}})",
               corrupt, {"max_input_chars_per_word", "65536"});
    CheckError(R"({"model": {"type": "WordPiece", "unk_token": "a", "vocab": {"a": 0, ")" +
                   std::string(600, 'x') + R"(": 1}}})",
               StatusCode::kUnsupported, {"vocab", "600", "512"});
    CheckError(R"({"model": {"type": "Unigram", "vocab": [["a", -1], ["b"]]}})", corrupt,
               {"vocab[1]"});
    CheckError(R"({"model": {"type": "Unigram", "vocab": []}})", corrupt, {"vocab"});
    CheckError(R"({"model": {"type": "Unigram", "unk_id": 1, "vocab": [["a", -1]]}})", corrupt,
               {"unk_id"});
    CheckError(R"({"model": {"type": "Unigram", "vocab": [["a", -1]]},
                   "added_tokens": [{"id": 0, "content": "b"}]})",
               corrupt, {"added_tokens", "token 0"});
    CheckError(R"({"model": {"type": "Unigram", "vocab": [["a", -1]]},
                   "normalizer": {"type": "Precompiled", "precompiled_charsmap": "a*b="}})",
               corrupt, {"precompiled_charsmap", "Base64"});
  }

  TEST_CASE("a template that loses a text, repeats it or names what is not there is refused") {
    const auto json = [](const char* single, const char* pair) {
      return BpeJson(
          std::string(R"("post_processor": {"type": "TemplateProcessing", "single": [)") + single +
              R"(], "pair": [)" + pair + R"(], "special_tokens": {"x": {"id": "x", "ids": [7]}}},)",
          kVocab, "[]");
    };
    const char* a = R"({"Sequence": {"id": "A", "type_id": 0}})";
    const char* x = R"({"SpecialToken": {"id": "x", "type_id": 0}})";
    CheckError(json("", ""), StatusCode::kUnsupported, {"single"});
    CheckError(json(a, a), StatusCode::kUnsupported, {"pair"});
    CheckError(json(x, a), StatusCode::kCorrupt, {"ids[0]", "7"});
    CheckError(json(R"({"Sequence": {"id": "C"}})", a), StatusCode::kCorrupt, {"single[0]"});
    CheckError(json(R"({"Sequence": {"id": "A", "type_id": 256}})", a), StatusCode::kCorrupt,
               {"type_id"});
  }

  TEST_CASE("truncation is read where it is asked for") {
    const std::string json = BpeJson(R"("truncation": {"max_length": 2, "direction": "Left",
                                        "strategy": "LongestFirst", "stride": 0},)",
                                     kVocab, "[]");
    const TestTokenizer tokenizer = TestTokenizer::FromJson(json);
    CHECK(tokenizer->Encode("abba", false).value() == std::vector<int32_t>{1, 0});
    flatbuffers::FlatBufferBuilder builder;
    const auto document = converter::JsonDocument::Parse(json, "tokenizer.json");
    const auto built =
        converter::BuildTokenizer(builder, (*document)->root(), {.keeps_truncation = false});
    REQUIRE(built.ok());
    CHECK(flatbuffers::GetTemporaryPointer(builder, *built)->max_tokens() == 0);
    CheckError(
        BpeJson(R"("truncation": {"max_length": 2, "strategy": "OnlyFirst"},)", kVocab, "[]"),
        StatusCode::kUnsupported, {"strategy"});
    CheckError(BpeJson(R"("truncation": {"max_length": 0},)", kVocab, "[]"), StatusCode::kCorrupt,
               {"max_length"});
  }

  TEST_CASE("a pattern that cannot be carried over is named with its place") {
    CheckError(
        BpeJson(
            R"json("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?~x)"}, "behavior": "Isolated"},)json",
            kVocab, "[]"),
        StatusCode::kUnsupported, {"pre_tokenizer.pattern", "absent operator"});
    CheckError(
        BpeJson(
            R"("pre_tokenizer": {"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated"},)",
            kVocab, "[]"),
        StatusCode::kCorrupt, {"pre_tokenizer.pattern"});
    CheckError(
        BpeJson(
            R"("pre_tokenizer": {"type": "Split", "pattern": {"String": "x"}, "behavior": "Odd"},)",
            kVocab, "[]"),
        StatusCode::kCorrupt, {"behavior"});
  }

  TEST_CASE("a vocabulary or merges that contradict themselves are refused") {
    const auto corrupt = StatusCode::kCorrupt;
    CheckError(BpeJson("", R"({"a": 0, "b": 0})", "[]"), corrupt, {"vocab", "0"});
    CheckError(BpeJson("", R"({"a": -1})", "[]"), corrupt, {"vocab"});
    CheckError(BpeJson("", R"({"a": 16777216})", "[]"), corrupt, {"16777216"});
    CheckError(BpeJson("", "{}", "[]"), corrupt, {"vocab"});
    CheckError(BpeJson("", kVocab, R"(["a z"])"), corrupt, {"merges[0]", "\"z\""});
    CheckError(BpeJson("", kVocab, R"(["a b", "b a"])"), corrupt, {"merges[1]", "\"ba\""});
    CheckError(BpeJson("", kVocab, R"(["ab"])"), corrupt, {"merges[0]"});
    CheckError(BpeJson("", kVocab, R"([["a", "b", "c"]])"), corrupt, {"merges[0]"});
    CheckError(BpeJson("", kVocab, "[]", R"("unk_token": "<unk>",)"), corrupt, {"unk_token"});
    CheckError(BpeJson(R"("added_tokens": [{"id": 1}],)", kVocab, "[]"), corrupt,
               {"added_tokens[0]"});
    CheckError(
        BpeJson(
            R"("post_processor": {"type": "RobertaProcessing", "sep": ["x", 9], "cls": ["y", 0]},)",
            kVocab, "[]"),
        corrupt, {"post_processor", "9"});
    CheckError("[]", corrupt, {});
    CheckError("{}", corrupt, {"model"});
  }

  TEST_CASE("byte-level must hold on both sides") {
    CheckError(BpeJson(R"("pre_tokenizer": {"type": "ByteLevel"},)", kVocab, "[]"),
               StatusCode::kUnsupported, {"decoder", "ByteLevel"});
  }

  TEST_CASE("steps before a ByteLevel decoder are left out if they change no token") {
    const auto json = [](const std::string& decoders, const std::string& vocab) {
      return BpeJson(R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false,
                        "use_regex": true}, "decoder": {"type": "Sequence", "decoders": [)" +
                         decoders + R"({"type": "ByteLevel"}]},)",
                     vocab, "[]");
    };
    const std::string fallback = R"({"type": "ByteFallback"},)", fuse = R"({"type": "Fuse"},)",
                      replace = R"({"type": "Replace", "pattern": {"String": "\u2581"},
                                   "content": " "},)";
    const std::string plain = R"({"a": 0, "\u0120b": 1, "\u00e9": 2})";
    CHECK(StatusOf(json(fallback + fuse + replace, plain)).ok());
    const auto refused = [&](const std::string& decoders, const std::string& token) {
      CheckError(json(decoders, R"({"a": 0, ")" + token + R"(": 1})"), StatusCode::kUnsupported,
                 {"decoder", token});
    };
    refused(fallback, "<0x41>");
    refused(replace, "a\xE2\x96\x81");
    refused(fuse, "\xE2\x96\x81");
    refused(fuse, "a b");
    std::string many;
    for (int i = 0; i < 64; ++i) many += replace;
    CheckError(json(many, plain), StatusCode::kUnsupported, {"decoders[64]", "64"});
    for (const char* other :
         {R"({"type": "Strip", "content": " ", "start": 1},)", R"({"type": "ByteLevel"},)",
          R"({"type": "Replace", "pattern": {"Regex": "x"}, "content": ""},)"}) {
      CheckError(json(other, plain), StatusCode::kUnsupported, {"decoder", "after another"});
    }
  }

  TEST_CASE("both ways to write merges mean the same") {
    const TestTokenizer text = TestTokenizer::FromJson(BpeJson("", kVocab, R"(["a b"])"));
    const TestTokenizer pairs = TestTokenizer::FromJson(BpeJson("", kVocab, R"([["a", "b"]])"));
    CHECK(text->Encode("aba", false).value() == std::vector<int32_t>{2, 0});
    CHECK(pairs->Encode("aba", false).value() == std::vector<int32_t>{2, 0});
  }

  TEST_CASE("post-processors in a sequence put their tokens around one another") {
    const TestTokenizer tokenizer = TestTokenizer::FromJson(BpeJson(
        R"("post_processor": {"type": "Sequence", "processors": [{"type": "ByteLevel"},
            {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "S", "type_id": 0}},
              {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "S", "type_id": 0}}],
             "special_tokens": {"S": {"id": "S", "ids": [1, 0], "tokens": ["b", "a"]}}},
            {"type": "BertProcessing", "sep": ["ab", 2], "cls": ["ab", 2]}]},)",
        kVocab, "[]"));
    CHECK(tokenizer->Encode("a", true).value() == std::vector<int32_t>{2, 1, 0, 0, 1, 0, 2});
    CHECK(tokenizer->Encode("a", false).value() == std::vector<int32_t>{0});
  }

  TEST_CASE("pre-tokenizers cut as their names say") {
    // Tokens are pieces: every piece is a token as a whole, or its letters.
    const auto pieces = [](const std::string& pre_tokenizer, const char* text) {
      std::string vocab = "{";
      for (const char* token : {"a", "b", "ab", " ", "  ", "1", "12", "!", ".", "a!", "!b", " b",
                                "▁", "▁a", "▁b", "a ", "bb", "!!"}) {
        if (vocab.size() > 1) vocab += ", ";
        vocab += "\"" + std::string(token) +
                 "\": " + std::to_string(std::count(vocab.begin(), vocab.end(), ':'));
      }
      const TestTokenizer tokenizer =
          TestTokenizer::FromJson(BpeJson("\"pre_tokenizer\": " + pre_tokenizer + ",", vocab + "}",
                                          "[]", R"("ignore_merges": true,)"));
      std::string result;
      const auto ids = tokenizer->Encode(text, false).value();
      for (const int32_t id : ids) {
        result += "[" + tokenizer->Decode(std::vector<int32_t>{id}, false).value() + "]";
      }
      return result;
    };
    const auto split = [](const char* pattern, const char* behavior, bool invert = false) {
      return std::string(R"({"type": "Split", "pattern": )") + pattern + R"(, "behavior": ")" +
             behavior + R"(", "invert": )" + (invert ? "true}" : "false}");
    };
    const char* bang = R"({"String": "!"})";
    CHECK(pieces(split(bang, "Removed"), "a!!b") == "[a][b]");
    CHECK(pieces(split(bang, "Isolated"), "a!!b") == "[a][!][!][b]");
    CHECK(pieces(split(bang, "MergedWithPrevious"), "a!!b") == "[a!][!][b]");
    CHECK(pieces(split(bang, "MergedWithNext"), "a!!b") == "[a][!][!b]");
    CHECK(pieces(split(bang, "Contiguous"), "a!!b") == "[a][!!][b]");
    CHECK(pieces(split(bang, "Removed", true), "a!!b") == "[!][!]");
    CHECK(pieces(split(R"({"Regex": "[ab]+"})", "Isolated"), "ab!bb") == "[ab][!][bb]");
    CHECK(pieces(R"({"type": "Digits", "individual_digits": true})", "ab11") == "[ab][1][1]");
    CHECK(pieces(R"({"type": "Digits", "individual_digits": false})", "ab12") == "[ab][12]");
    CHECK(pieces(R"({"type": "Whitespace"})", "ab  !!a") == "[ab][!!][a]");
    CHECK(pieces(R"({"type": "WhitespaceSplit"})", "a! b") == "[a!][b]");
    CHECK(pieces(R"({"type": "Punctuation"})", "a!!b") == "[a][!][!][b]");
    CHECK(
        pieces(
            R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true})",
            "a b  a") == "[▁a][▁b][▁][▁a]");
    CHECK(
        pieces(
            R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": true})",
            "a b") == "[a][▁b]");
  }

  TEST_CASE("broken files are errors, never crashes") {
    const std::string whole = ReadWhole(TokenizerFolder("stories260k") + "/tokenizer.json");
    std::mt19937 random(9);
    int refused = 0;
    for (int round = 0; round < 400; ++round) {
      std::string broken = whole;
      for (int i = 0; i < 3; ++i) broken[random() % broken.size()] = static_cast<char>(random());
      const auto document = converter::JsonDocument::Parse(broken, "tokenizer.json");
      if (!document.ok()) {
        ++refused;
        continue;
      }
      flatbuffers::FlatBufferBuilder builder;
      const auto built = converter::BuildTokenizer(builder, (*document)->root());
      if (!built.ok()) {
        ++refused;
        continue;
      }
      builder.Finish(*built);
      const auto& tables = *flatbuffers::GetRoot<schema::fb::Tokenizer>(builder.GetBufferPointer());
      CHECK(schema::VerifyTokenizer(tables, 0).ok());  // what is written can be read
    }
    CHECK(refused > 100);
    for (size_t size = 0; size < whole.size(); size += 97)
      CHECK(!StatusOf(whole.substr(0, size)).ok());
  }
}

}  // namespace
}  // namespace graft::test
