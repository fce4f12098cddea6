// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_files.h"

#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/json/json.h"
#include "converter/tokenizer/sentencepiece_model.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

/// tokenizer_config.json; an empty object if there is none.
Result<std::unique_ptr<JsonDocument>> ReadSettings(const fs::path& folder) {
  const fs::path file = folder / "tokenizer_config.json";
  return Exists(file) ? JsonDocument::Read(file) : JsonDocument::Parse("{}", file.string());
}

/// The class without "Fast"; `fallback` if none is named.
Result<std::string> ClassOf(const JsonValue& settings, std::string_view fallback) {
  GRAFT_ASSIGN_OR_RETURN(std::string name, settings.GetString("tokenizer_class", fallback));
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

Status UnknownClass(const fs::path& file, const std::string& name) {
  return Error(StatusCode::kUnsupported,
               "%s: tokenizer_config.json says %s, whose rules are not in this file; save the "
               "tokenizer with transformers, which writes tokenizer.json",
               file.c_str(), name.c_str());
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

std::string AddedToken(size_t id, std::string_view text) {
  return R"({"id":)" + std::to_string(id) + R"(,"content":)" + JsonQuote(text) +
         R"(,"normalized":false,"special":true})";
}

/// BERT's: one token a line.
Result<std::string> FromWordList(const fs::path& file, const JsonValue& settings) {
  GRAFT_ASSIGN_OR_RETURN(const std::string name, ClassOf(settings, "BertTokenizer"));
  if (name != "BertTokenizer" && name != "DistilBertTokenizer" && name != "ElectraTokenizer") {
    return UnknownClass(file, name);
  }
  GRAFT_ASSIGN_OR_RETURN(const bool lowercase, settings.GetBool("do_lower_case", true));
  GRAFT_ASSIGN_OR_RETURN(const bool ideographs, settings.GetBool("tokenize_chinese_chars", true));
  GRAFT_ASSIGN_OR_RETURN(const bool accents, settings.GetBool("strip_accents", lowercase));
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, kMaxFileBytes));
  const std::vector<std::string_view> lines = Lines(text);
  std::unordered_map<std::string_view, size_t> ids;
  std::string vocabulary;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!ids.emplace(lines[i], i).second) continue;
    vocabulary += (vocabulary.empty() ? "" : ",") + JsonQuote(lines[i]) + ":" + std::to_string(i);
  }
  std::string added;
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}) {
    const auto found = ids.find(token);
    if (found == ids.end()) {
      return Error(StatusCode::kCorrupt, "%s: has no token %s", file.c_str(), token);
    }
    added += (added.empty() ? "" : ",") + AddedToken(found->second, token);
  }
  const auto truth = [](bool value) { return std::string(value ? "true" : "false"); };
  return R"({"added_tokens":[)" + added + R"(],"normalizer":{"type":"BertNormalizer",)" +
         R"("handle_chinese_chars":)" + truth(ideographs) + R"(,"strip_accents":)" +
         truth(accents) + R"(,"lowercase":)" + truth(lowercase) +
         R"(},"pre_tokenizer":{"type":"BertPreTokenizer"},"decoder":{"type":"WordPiece",)" +
         R"("prefix":"##"},"post_processor":{"type":"BertProcessing","sep":["[SEP]",)" +
         std::to_string(ids["[SEP]"]) + R"(],"cls":["[CLS]",)" + std::to_string(ids["[CLS]"]) +
         R"(]},"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{)" + vocabulary + "}}}";
}

/// The id that a member of added_tokens_decoder is named by.
Result<size_t> ReadTokenId(std::string_view key, const JsonValue& member) {
  size_t id = 0;
  for (const char c : key.substr(0, 9)) {
    if (c < '0' || c > '9') return member.Fail("is not under a token id");
    id = id * 10 + static_cast<size_t>(c - '0');
  }
  return id;
}

/// Added tokens as tokenizer.json lists them: those that the settings list by id, and those that
/// the class always has, if the vocabulary does.
Result<std::string> AddedTokens(const JsonValue& settings, const JsonValue& vocabulary,
                                std::span<const char* const> known) {
  std::string added;
  std::unordered_set<std::string_view> seen;
  const auto add = [&](size_t id, std::string_view token) {
    if (seen.insert(token).second) added += (added.empty() ? "" : ",") + AddedToken(id, token);
  };
  const JsonValue listed = settings.Find("added_tokens_decoder");
  for (size_t i = 0; i < listed.size() && listed.IsObject(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const JsonValue content, listed.at(i).Get("content", JsonKind::kString));
    GRAFT_ASSIGN_OR_RETURN(const size_t id, ReadTokenId(listed.key(i), listed.at(i)));
    add(id, content.AsString().value());
  }
  for (const char* token : known) {
    const JsonValue id = vocabulary.Find(token);
    if (id.kind() == JsonKind::kInteger) add(static_cast<size_t>(id.AsInt().value()), token);
  }
  return added;
}

/// merges.txt as a list: a merge a line, behind a line that may say the version.
Result<std::string> ReadMerges(const fs::path& file) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, kMaxFileBytes));
  std::string merges;
  for (const std::string_view line : Lines(text)) {
    if (line.empty() || (merges.empty() && line.starts_with("#version"))) continue;
    merges += (merges.empty() ? "" : ",") + JsonQuote(line);
  }
  return merges;
}

/// What RoBERTa puts around a text.
Result<std::string> RobertaProcessing(const JsonValue& vocabulary) {
  GRAFT_ASSIGN_OR_RETURN(const int64_t bos, vocabulary.GetInt("<s>"));
  GRAFT_ASSIGN_OR_RETURN(const int64_t eos, vocabulary.GetInt("</s>"));
  return R"({"type":"RobertaProcessing","sep":["</s>",)" + std::to_string(eos) +
         R"(],"cls":["<s>",)" + std::to_string(bos) + "]}";
}

constexpr const char* kGpt2Tokens[] = {"<|endoftext|>"};
constexpr const char* kRobertaTokens[] = {"<s>", "</s>", "<pad>", "<unk>", "<mask>"};
constexpr char kQwenPreTokenizer[] =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":)"
    R"x({"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)x"
    R"x( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},)x"
    R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";

/// GPT-2's: a vocabulary, and merges a line each.
Result<std::string> FromMerges(const fs::path& folder, const JsonValue& settings) {
  const fs::path file = folder / "vocab.json";
  GRAFT_ASSIGN_OR_RETURN(const std::string name, ClassOf(settings, "GPT2Tokenizer"));
  const bool is_roberta = name == "RobertaTokenizer";
  const bool is_qwen = name == "Qwen2Tokenizer";
  if (name != "GPT2Tokenizer" && !is_roberta && !is_qwen) return UnknownClass(file, name);
  GRAFT_ASSIGN_OR_RETURN(const std::string vocabulary, ReadTextFile(file, kMaxFileBytes));
  GRAFT_ASSIGN_OR_RETURN(const auto parsed, JsonDocument::Parse(vocabulary, file.string()));
  GRAFT_ASSIGN_OR_RETURN(const std::string merges, ReadMerges(folder / "merges.txt"));
  std::span<const char* const> known = kGpt2Tokens;
  if (is_roberta) known = kRobertaTokens;
  GRAFT_ASSIGN_OR_RETURN(const std::string added, AddedTokens(settings, parsed->root(), known));
  std::string around = "null";
  if (is_roberta) {
    GRAFT_ASSIGN_OR_RETURN(around, RobertaProcessing(parsed->root()));
  }
  GRAFT_ASSIGN_OR_RETURN(const bool prefix_space, settings.GetBool("add_prefix_space", false));
  const std::string before = is_qwen ? kQwenPreTokenizer
                                     : std::string(R"({"type":"ByteLevel","add_prefix_space":)") +
                                           (prefix_space ? "true}" : "false}");
  return R"({"added_tokens":[)" + added + R"(],"normalizer":)" +
         (is_qwen ? R"({"type":"NFC"})" : "null") + R"(,"pre_tokenizer":)" + before +
         R"(,"decoder":{"type":"ByteLevel"},"post_processor":)" + around +
         R"(,"model":{"type":"BPE","vocab":)" + vocabulary + R"(,"merges":[)" + merges + "]}}";
}

Result<std::string> FromSentencePiece(const fs::path& file, const JsonValue& settings) {
  GRAFT_ASSIGN_OR_RETURN(const std::string name, ClassOf(settings, "LlamaTokenizer"));
  if (name != "LlamaTokenizer" && name != "GemmaTokenizer" && name != "T5Tokenizer") {
    return UnknownClass(file, name);
  }
  const bool is_t5 = name == "T5Tokenizer";
  SentencePieceMarks marks;
  GRAFT_ASSIGN_OR_RETURN(marks.adds_bos, settings.GetBool("add_bos_token", !is_t5));
  GRAFT_ASSIGN_OR_RETURN(marks.adds_eos, settings.GetBool("add_eos_token", is_t5));
  if (is_t5) marks.adds_bos = false;
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(file, kMaxFileBytes));
  Result<std::string> json = SentencePieceToJson(bytes, marks);
  if (!json.ok()) return json.status().WithContext(file.string());
  return json;
}

}  // namespace

Result<std::unique_ptr<JsonDocument>> ReadTokenizerFiles(const fs::path& folder) {
  if (const fs::path file = folder / "tokenizer.json"; Exists(file)) {
    return JsonDocument::Read(file);
  }
  std::string json;
  fs::path file;
  GRAFT_ASSIGN_OR_RETURN(const auto settings, ReadSettings(folder));
  if (file = folder / "vocab.txt"; Exists(file)) {
    GRAFT_ASSIGN_OR_RETURN(json, FromWordList(file, settings->root()));
  } else if (file = folder / "vocab.json"; Exists(file) && Exists(folder / "merges.txt")) {
    GRAFT_ASSIGN_OR_RETURN(json, FromMerges(folder, settings->root()));
  } else if (file = folder / "tokenizer.model"; Exists(file)) {
    GRAFT_ASSIGN_OR_RETURN(json, FromSentencePiece(file, settings->root()));
  } else {
    return std::unique_ptr<JsonDocument>();
  }
  return JsonDocument::Parse(json, file.string(), {.max_bytes = 4 * kMaxFileBytes});
}

}  // namespace graft::converter
