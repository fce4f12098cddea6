// SPDX-License-Identifier: Apache-2.0
// Vocabularies are written out piece by piece: as a tree they would take ten times the room.
#include "converter/gguf/tokenizer_text.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/base/sanitize.h"
#include "converter/gguf/pre_tokenizers.h"
#include "converter/gguf/sentence_piece_bytes.h"
#include "converter/json/json.h"
#include "converter/tokenizer/sentencepiece_model.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;
using Kind = GgufTokenKind;

constexpr std::string_view kWordStart = "\xE2\x96\x81";  // U+2581

bool IsAdded(Kind kind) {
  return kind == Kind::kControl || kind == Kind::kUserDefined || kind == Kind::kUnknown;
}

std::string AddedTokens(const GgufTokenizer& tokenizer) {
  std::string json = "[";
  for (size_t i = 0; i < tokenizer.tokens.size(); ++i) {
    if (!IsAdded(tokenizer.kinds[i]) || tokenizer.tokens[i].empty()) continue;
    json += json.size() == 1 ? "" : ",";
    json += R"({"id":)" + std::to_string(i) + R"(,"content":)" + JsonQuote(tokenizer.tokens[i]) +
            R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":)" +
            (tokenizer.kinds[i] == Kind::kUserDefined ? "false}" : "true}");
  }
  return json + "]";
}

/// What goes around a text, and around each of two.
std::string Around(const GgufTokenizer& tokenizer) {
  const bool is_encoder = tokenizer.architecture.ends_with("bert");
  int64_t begin = is_encoder ? tokenizer.Find("cls_token") : -1;
  int64_t end = is_encoder ? tokenizer.Find("sep_token") : -1;
  if (begin < 0) begin = tokenizer.Find("bos_token");
  if (end < 0) end = tokenizer.Find("eos_token");
  if (!tokenizer.adds_begin) begin = -1;
  if (!tokenizer.adds_end) end = -1;
  if (begin < 0 && end < 0) return "null";
  // BERT's second text is of another type; RoBERTa and those like it put two ends between.
  const int second_type = tokenizer.model == "bert" ? 1 : 0;
  const bool two_ends = is_encoder && tokenizer.model != "bert";
  Json tokens = Json::object();
  const auto mark = [&](int64_t id, int type, Json* to) {
    if (id < 0) return;
    const std::string text(tokenizer.tokens[static_cast<size_t>(id)]);
    tokens[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    to->push_back({{"SpecialToken", {{"id", text}, {"type_id", type}}}});
  };
  Json single = Json::array();
  mark(begin, 0, &single);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  mark(end, 0, &single);
  Json pair = single;
  if (two_ends) mark(end, 0, &pair);
  if (!is_encoder) mark(begin, second_type, &pair);
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", second_type}}}});
  mark(end, second_type, &pair);
  const Json around = {{"type", "TemplateProcessing"},
                       {"single", std::move(single)},
                       {"pair", std::move(pair)},
                       {"special_tokens", std::move(tokens)}};
  return around.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Texts to ids; of two alike the first. Tokens that stand for nothing are left out.
std::string Vocabulary(const std::vector<std::string>& texts, const GgufTokenizer& tokenizer) {
  std::unordered_set<std::string_view> seen;
  std::string json = "{";
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty() || tokenizer.kinds[i] == Kind::kUnused) continue;
    if (!seen.insert(texts[i]).second) continue;
    json += (json.size() == 1 ? "" : ",") + JsonQuote(texts[i]) + ":" + std::to_string(i);
  }
  return json + "}";
}

// The list of pairs that are merged, the first first. An empty one is not written.
Result<std::string> Merges(const GgufHeader& header) {
  constexpr const char* kKey = "tokenizer.ggml.merges";
  if (!header.Has(kKey)) return std::string("[]");
  GRAFT_ASSIGN_OR_RETURN(const auto merges, header.GetStrings(kKey));
  std::string json = "[";
  for (size_t i = 0; i < merges.size(); ++i) {
    // Neither half holds a space but as its first character.
    const size_t space = merges[i].find(' ', 1);
    if (space == std::string_view::npos) return header.Fail(kKey, "has a merge that is no pair");
    json += (i > 0 ? ",[" : "[") + JsonQuote(merges[i].substr(0, space)) + "," +
            JsonQuote(merges[i].substr(space + 1)) + "]";
  }
  return json + "]";
}

// Gemma 4's: pairs of characters, spaces as U+2581, and bytes for what is in no piece.
Result<std::string> CharacterPairs(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  GRAFT_ASSIGN_OR_RETURN(const std::string merges, Merges(header));
  const std::vector<std::string> texts(tokenizer.tokens.begin(), tokenizer.tokens.end());
  const int64_t unknown = tokenizer.Find("unk_token");
  const std::string unknown_text =
      unknown < 0 ? "null" : JsonQuote(texts[static_cast<size_t>(unknown)]);
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" +
         AddedTokens(tokenizer) +
         R"(,"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},)" +
         R"("pre_tokenizer":null,"post_processor":)" + Around(tokenizer) +
         R"(,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":)" +
         R"("▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}]},)" +
         R"("model":{"type":"BPE","unk_token":)" + unknown_text +
         R"(,"fuse_unk":true,"byte_fallback":true,"ignore_merges":false,"vocab":)" +
         Vocabulary(texts, tokenizer) + R"(,"merges":)" + merges + "}}";
}

Result<std::string> BytePairs(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  const PreTokenizer* steps = FindPreTokenizer(tokenizer.pre, tokenizer.architecture);
  if (steps == nullptr) {
    const std::string what = "is \"" + Sanitize(tokenizer.pre) +
                             "\", a way to cut texts that graft does not know; put the model's "
                             "own checkpoint in the place of this file, or convert one of these";
    return header.Fail("tokenizer.ggml.pre", what, StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string merges, Merges(header));
  const std::vector<std::string> texts(tokenizer.tokens.begin(), tokenizer.tokens.end());
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" +
         AddedTokens(tokenizer) + R"(,"normalizer":)" + steps->normalizer + R"(,"pre_tokenizer":)" +
         steps->pre_tokenizer + R"(,"post_processor":)" + Around(tokenizer) +
         R"(,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,)" +
         R"("use_regex":true},"model":{"type":"BPE",)" +
         R"("fuse_unk":false,"byte_fallback":false,"ignore_merges":)" +
         (steps->ignore_merges ? "true" : "false") + R"(,"vocab":)" + Vocabulary(texts, tokenizer) +
         R"(,"merges":)" + merges + "}}";
}

// The converter of llama.cpp has put a mark before the starts of words, and taken "##" off the rest.
std::string WordPieceText(std::string_view token, Kind kind) {
  if (kind == Kind::kControl || kind == Kind::kUnknown) return std::string(token);
  if (token.starts_with(kWordStart)) return std::string(token.substr(kWordStart.size()));
  return "##" + std::string(token);
}

// Vocabularies without capitals are of models that read small letters.
Result<bool> Lowercases(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  constexpr const char* kKey = "tokenizer.ggml.normalizer.lowercase";
  if (header.Has(kKey)) return header.GetBool(kKey);
  for (size_t i = 0; i < tokenizer.tokens.size(); ++i) {
    const std::string_view token = tokenizer.tokens[i];
    if (tokenizer.kinds[i] != Kind::kNormal || token.find('[') != std::string_view::npos) continue;
    if (std::any_of(token.begin(), token.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
      return false;
  }
  return true;
}

Result<std::string> WordPieces(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  GRAFT_ASSIGN_OR_RETURN(const bool lowercases, Lowercases(header, tokenizer));
  bool strips = lowercases;
  constexpr const char* kStrips = "tokenizer.ggml.normalizer.strip_accents";
  if (header.Has(kStrips)) {
    GRAFT_ASSIGN_OR_RETURN(strips, header.GetBool(kStrips));
  }
  std::vector<std::string> texts;
  for (size_t i = 0; i < tokenizer.tokens.size(); ++i)
    texts.push_back(WordPieceText(tokenizer.tokens[i], tokenizer.kinds[i]));
  const int64_t unknown = tokenizer.Find("unk_token");
  const std::string unknown_text = unknown < 0 ? "[UNK]" : texts[static_cast<size_t>(unknown)];
  return R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":)" +
         AddedTokens(tokenizer) +
         R"(,"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,)" +
         R"("strip_accents":)" + (strips ? "true" : "false") + R"(,"lowercase":)" +
         (lowercases ? "true" : "false") +
         R"(},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":)" + Around(tokenizer) +
         R"(,"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},)" +
         R"("model":{"type":"WordPiece","unk_token":)" + JsonQuote(unknown_text) +
         R"(,"continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":)" +
         Vocabulary(texts, tokenizer) + "}}";
}

}  // namespace

Result<std::string> GgufTokenizerJson(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  if (tokenizer.model == "gpt2") return BytePairs(header, tokenizer);
  if (tokenizer.model == "gemma4") return CharacterPairs(header, tokenizer);
  if (tokenizer.model == "bert") return WordPieces(header, tokenizer);
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, GgufSentencePieceBytes(header, tokenizer));
  Result<std::string> json = SentencePieceToJson(
      bytes, {.prefixes_every_part = true, .post_processor = Around(tokenizer)});
  return json.ok() ? std::move(json) : json.status().WithContext(header.path());
}

std::string GgufTokenizerConfig(const GgufTokenizer& tokenizer) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", tokenizer.model == "bert"}};
  for (const auto& [name, id] : tokenizer.named)
    config[name] = std::string(tokenizer.tokens[static_cast<size_t>(id)]);
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<std::string> GgufGenerationConfig(const GgufHeader& header, const GgufTokenizer& tokenizer) {
  constexpr const char* kKeys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                   "tokenizer.ggml.eom_token_id"};
  // Ends of a turn that files do not always name as such.
  constexpr std::string_view kEnds[] = {
      "<|im_end|>",    "<|eot_id|>", "<|eom_id|>",      "<end_of_turn>", "<|end|>",
      "<|endoftext|>", "<EOT>",      "<|end_of_text|>", "<eos>",         "<|end_of_turn|>",
      "<turn|>",       "<|return|>", "<|call|>"};
  std::vector<int64_t> ends;
  const auto add = [&ends](int64_t id) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  const auto count = static_cast<int64_t>(tokenizer.tokens.size());
  for (const char* key : kKeys) {
    if (!header.Has(key)) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, header.GetInt(key));
    if (id >= 0 && id < count) add(id);
  }
  for (size_t i = 0; i < tokenizer.tokens.size(); ++i) {
    const bool looks_so =
        std::find(std::begin(kEnds), std::end(kEnds), tokenizer.tokens[i]) != std::end(kEnds);
    if (looks_so && IsAdded(tokenizer.kinds[i])) add(static_cast<int64_t>(i));
  }
  Json config = Json::object();
  if (const int64_t begin = tokenizer.Find("bos_token"); begin >= 0) config["bos_token_id"] = begin;
  if (!ends.empty()) config["eos_token_id"] = ends;
  if (const int64_t pad = tokenizer.Find("pad_token"); pad >= 0) config["pad_token_id"] = pad;
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace graft::converter
