// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_files.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/json/json.h"
#include "converter/tokenizer/sentencepiece_model.h"
#include "converter/tokenizer/tokenizer_settings.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 20;

/// An empty object if there is no such file.
Result<std::unique_ptr<JsonDocument>> ReadIfThere(const fs::path& file) {
  return Exists(file) ? JsonDocument::Read(file) : JsonDocument::Parse("{}", file.string());
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

/// BERT's: one token a line.
Result<std::string> FromWordList(const fs::path& file) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, kMaxFileBytes));
  const std::vector<std::string_view> lines = Lines(text);
  std::unordered_set<std::string_view> seen;
  std::string vocabulary;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!seen.insert(lines[i]).second) continue;
    vocabulary += (vocabulary.empty() ? "" : ",") + JsonQuote(lines[i]) + ":" + std::to_string(i);
  }
  return R"({"model":{"type":"WordPiece","unk_token":"[UNK]","vocab":{)" + vocabulary + "}}}";
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

constexpr char kGpt2PreTokenizer[] = R"({"type":"ByteLevel","add_prefix_space":false})";
constexpr char kQwenPreTokenizer[] =
    R"({"type":"Sequence","pretokenizers":[{"type":"Split","behavior":"Isolated","pattern":)"
    R"x({"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|)x"
    R"x( ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}},)x"
    R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})";

/// GPT-2's: a vocabulary, and merges a line each.
Result<std::string> FromMerges(const fs::path& folder, TokenizerClass kind) {
  const fs::path file = folder / "vocab.json";
  GRAFT_ASSIGN_OR_RETURN(const std::string vocabulary, ReadTextFile(file, kMaxFileBytes));
  GRAFT_ASSIGN_OR_RETURN(const auto parsed, JsonDocument::Parse(vocabulary, file.string()));
  GRAFT_ASSIGN_OR_RETURN(const std::string merges, ReadMerges(folder / "merges.txt"));
  const bool is_qwen = kind == TokenizerClass::kQwen2;
  const bool composes = is_qwen || kind == TokenizerClass::kGptNeoX;
  return std::string(R"({"normalizer":)") + (composes ? R"({"type":"NFC"})" : "null") +
         R"(,"pre_tokenizer":)" + (is_qwen ? kQwenPreTokenizer : kGpt2PreTokenizer) +
         R"(,"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":)" + vocabulary +
         R"(,"merges":[)" + merges + "]}}";
}

// fairseq's numbers of a few tokens come before the pieces.
PieceChanges ChangesOf(TokenizerClass kind) {
  if (kind == TokenizerClass::kXlmRoberta) {
    return {.left_out = 3,
            .before = {{"<s>"}, {"<pad>"}, {"</s>"}, {"<unk>"}},
            .after = {{"<mask>"}},
            .unknown = "<unk>"};
  }
  if (kind == TokenizerClass::kCamembert) {
    return {.left_out = 1,
            .before =
                {{"<s>NOTUSED"}, {"<pad>"}, {"</s>NOTUSED"}, {"<unk>"}, {"<unk>NOTUSED", -100.0f}},
            .after = {{"<mask>"}},
            .unknown = "<unk>"};
  }
  return {};
}

Result<std::string> FromSentencePiece(const fs::path& file, TokenizerClass kind) {
  GRAFT_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(file, kMaxFileBytes));
  Result<std::string> json = SentencePieceToJson(bytes, {.changes = ChangesOf(kind)});
  if (!json.ok()) return json.status().WithContext(file.string());
  return json;
}

/// Files older than tokenizer.json, and the classes that they may be of.
struct OlderForm {
  const char* file;
  const char* beside;  // null: it stands alone
  TokenizerClass usual;
  TokenizerClass classes[5];  // the last are kBackend, which no form is of
};
constexpr OlderForm kOlderForms[] = {
    {"vocab.txt", nullptr, TokenizerClass::kBert, {TokenizerClass::kBert, TokenizerClass::kMpNet}},
    {"vocab.json",
     "merges.txt",
     TokenizerClass::kGpt2,
     {TokenizerClass::kGpt2, TokenizerClass::kRoberta, TokenizerClass::kQwen2,
      TokenizerClass::kGptNeoX, TokenizerClass::kDeberta}},
    {"tokenizer.model",
     nullptr,
     TokenizerClass::kLlama,
     {TokenizerClass::kLlama, TokenizerClass::kGemma, TokenizerClass::kT5}},
    {"spiece.model", nullptr, TokenizerClass::kT5, {TokenizerClass::kT5, TokenizerClass::kAlbert}},
    {"spm.model", nullptr, TokenizerClass::kDebertaV2, {TokenizerClass::kDebertaV2}},
    {"sentencepiece.bpe.model",
     nullptr,
     TokenizerClass::kXlmRoberta,
     {TokenizerClass::kXlmRoberta, TokenizerClass::kCamembert}},
};

/// Reads one of the older forms; sets *kind to its class.
Result<std::unique_ptr<JsonDocument>> ReadOlderForm(const fs::path& folder,
                                                    const TokenizerContext& context,
                                                    const JsonValue& settings,
                                                    TokenizerClass* kind) {
  for (const OlderForm& form : kOlderForms) {
    const fs::path file = folder / form.file;
    if (!Exists(file) || (form.beside != nullptr && !Exists(folder / form.beside))) continue;
    const auto fits = [&form](TokenizerClass candidate) {
      return candidate != TokenizerClass::kBackend &&
             std::find(std::begin(form.classes), std::end(form.classes), candidate) !=
                 std::end(form.classes);
    };
    // What tokenizer_config.json names must be known; what the model's type stands for may help.
    GRAFT_ASSIGN_OR_RETURN(const std::string name, NamedClass(settings, context));
    GRAFT_ASSIGN_OR_RETURN(*kind, ChooseClass(settings, context));
    if (!name.empty()) {
      *kind = ClassByName(name, TokenizerClass::kBackend);
      if (!fits(*kind)) return UnknownClass(file, name);
    } else if (!fits(*kind)) {
      *kind = form.usual;
    }
    std::string json;
    if (form.usual == TokenizerClass::kBert) {
      GRAFT_ASSIGN_OR_RETURN(json, FromWordList(file));
    } else if (form.usual == TokenizerClass::kGpt2) {
      GRAFT_ASSIGN_OR_RETURN(json, FromMerges(folder, *kind));
    } else {
      GRAFT_ASSIGN_OR_RETURN(json, FromSentencePiece(file, *kind));
    }
    return JsonDocument::Parse(json, file.string(), {.max_bytes = 4 * kMaxFileBytes});
  }
  return std::unique_ptr<JsonDocument>();
}

}  // namespace

JsonValue TokenizerDocument::Find(std::string_view key) const {
  if (changes_->root().Has(key)) return changes_->root().Find(key);
  return file_->root().Find(key);
}

Result<std::unique_ptr<TokenizerDocument>> ReadTokenizerFiles(const fs::path& folder,
                                                              const TokenizerContext& context) {
  GRAFT_ASSIGN_OR_RETURN(auto config, ReadIfThere(folder / "tokenizer_config.json"));
  GRAFT_ASSIGN_OR_RETURN(const auto map, ReadIfThere(folder / "special_tokens_map.json"));
  GRAFT_ASSIGN_OR_RETURN(const auto added, ReadIfThere(folder / "added_tokens.json"));
  std::unique_ptr<JsonDocument> file;
  TokenizerClass kind = TokenizerClass::kBackend;
  const bool has_json = Exists(folder / "tokenizer.json");
  if (has_json) {
    GRAFT_ASSIGN_OR_RETURN(file, JsonDocument::Read(folder / "tokenizer.json"));
    GRAFT_ASSIGN_OR_RETURN(kind, ChooseClass(config->root(), context));
  } else {
    GRAFT_ASSIGN_OR_RETURN(file, ReadOlderForm(folder, context, config->root(), &kind));
  }
  if (file == nullptr) return std::unique_ptr<TokenizerDocument>();
  GRAFT_ASSIGN_OR_RETURN(
      const std::string changes,
      ChangesBySettings({.root = file->root(),
                         .settings = {config->root(), map->root(), added->root()},
                         .kind = kind,
                         .is_made = !has_json,
                         .embedding_rows = context.embedding_rows}));
  GRAFT_ASSIGN_OR_RETURN(auto parsed,
                         JsonDocument::Parse(changes, file->name() + ", changed by settings"));
  return std::make_unique<TokenizerDocument>(std::move(file), std::move(parsed), std::move(config));
}

}  // namespace graft::converter
