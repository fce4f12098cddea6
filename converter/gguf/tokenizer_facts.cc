// SPDX-License-Identifier: Apache-2.0
#include "converter/gguf/tokenizer_facts.h"

#include <algorithm>
#include <iterator>

#include "converter/base/sanitize.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

constexpr const char* kModels[] = {"gpt2", "llama", "bert", "t5", "gemma4"};

struct NamedKey {
  const char* key;
  const char* name;
};
constexpr NamedKey kNamed[] = {
    {"tokenizer.ggml.bos_token_id", "bos_token"},
    {"tokenizer.ggml.eos_token_id", "eos_token"},
    {"tokenizer.ggml.unknown_token_id", "unk_token"},
    {"tokenizer.ggml.padding_token_id", "pad_token"},
    {"tokenizer.ggml.cls_token_id", "cls_token"},
    {"tokenizer.ggml.seperator_token_id", "sep_token"},  // so spelled
    {"tokenizer.ggml.mask_token_id", "mask_token"},
};

// What holds where a file does not say, by model and by how texts are cut.
struct Usual {
  bool begin = false;
  bool end = false;
};
Usual UsualMarks(const GgufTokenizer& tokenizer) {
  constexpr std::string_view kWithBegin[] = {"llama3",    "llama-v3", "llama-bpe",
                                             "falcon3",   "pixtral",  "tekken",
                                             "falcon-h1", "midm-2.0", "lfm2"};
  if (tokenizer.model == "llama" || tokenizer.model == "gemma4") return {true, false};
  if (tokenizer.architecture.ends_with("bert")) return {true, true};
  if (tokenizer.model == "t5") return {false, true};
  return {std::find(std::begin(kWithBegin), std::end(kWithBegin), tokenizer.pre) !=
              std::end(kWithBegin),
          false};
}

Status ReadMarks(const GgufHeader& header, GgufTokenizer* tokenizer) {
  const Usual usual = UsualMarks(*tokenizer);
  tokenizer->adds_begin = usual.begin;
  tokenizer->adds_end = usual.end;
  if (header.Has("tokenizer.ggml.add_bos_token")) {
    GRAFT_ASSIGN_OR_RETURN(tokenizer->adds_begin, header.GetBool("tokenizer.ggml.add_bos_token"));
  }
  constexpr const char* kEnd = "tokenizer.ggml.add_eos_token";
  constexpr const char* kSeparator = "tokenizer.ggml.add_sep_token";
  // An encoder's end is its separator.
  const bool has_separator = tokenizer->architecture.ends_with("bert") && header.Has(kSeparator);
  if (!header.Has(kEnd) && !has_separator) return OkStatus();
  bool adds_end = false;
  bool adds_separator = false;
  if (header.Has(kEnd)) {
    GRAFT_ASSIGN_OR_RETURN(adds_end, header.GetBool(kEnd));
  }
  if (has_separator) {
    GRAFT_ASSIGN_OR_RETURN(adds_separator, header.GetBool(kSeparator));
  }
  tokenizer->adds_end = adds_end || adds_separator;
  return OkStatus();
}

// Files do not always say which tokens an encoder puts around a text.
void NameByLooks(GgufTokenizer* tokenizer) {
  constexpr struct {
    const char* name;
    std::string_view looks[2];
  } kLooks[] = {{"cls_token", {"[CLS]", "<s>"}},
                {"sep_token", {"[SEP]", "</s>"}},
                {"unk_token", {"[UNK]", "<unk>"}}};
  for (const auto& entry : kLooks) {
    for (size_t i = 0; i < tokenizer->tokens.size() && tokenizer->Find(entry.name) < 0; ++i) {
      const bool is_plain = tokenizer->kinds[i] == GgufTokenKind::kNormal;
      const std::string_view token = tokenizer->tokens[i];
      if (!is_plain && (token == entry.looks[0] || token == entry.looks[1]))
        tokenizer->named.push_back({entry.name, static_cast<int64_t>(i)});
    }
  }
}

Status ReadKinds(const GgufHeader& header, GgufTokenizer* tokenizer) {
  constexpr const char* kKey = "tokenizer.ggml.token_type";
  tokenizer->kinds.assign(tokenizer->tokens.size(), GgufTokenKind::kNormal);
  if (!header.Has(kKey)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> kinds, header.GetInts(kKey));
  if (kinds.size() != tokenizer->tokens.size()) {
    return header.Fail(kKey, "lists " + std::to_string(kinds.size()) + " kinds for " +
                                 std::to_string(tokenizer->tokens.size()) + " tokens");
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    // 0 stands for none of them.
    const bool is_known = kinds[i] >= 1 && kinds[i] <= 6;
    tokenizer->kinds[i] = is_known ? static_cast<GgufTokenKind>(kinds[i]) : GgufTokenKind::kNormal;
  }
  return OkStatus();
}

}  // namespace

int64_t GgufTokenizer::Find(std::string_view name) const {
  const auto found = std::find_if(this->named.begin(), this->named.end(),
                                  [name](const Named& token) { return token.name == name; });
  return found != named.end() ? found->id : -1;
}

Result<std::optional<GgufTokenizer>> ReadGgufTokenizer(const GgufHeader& header) {
  if (!header.Has("tokenizer.ggml.model") || !header.Has("tokenizer.ggml.tokens"))
    return std::optional<GgufTokenizer>();
  GgufTokenizer tokenizer;
  GRAFT_ASSIGN_OR_RETURN(tokenizer.model, header.GetString("tokenizer.ggml.model"));
  if (std::find(std::begin(kModels), std::end(kModels), tokenizer.model) == std::end(kModels)) {
    return header.Fail(
        "tokenizer.ggml.model",
        "is \"" + Sanitize(tokenizer.model) + "\"; graft reads gpt2, llama, gemma4, bert and t5",
        StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(tokenizer.architecture, header.GetString("general.architecture"));
  if (header.Has("tokenizer.ggml.pre")) {
    GRAFT_ASSIGN_OR_RETURN(tokenizer.pre, header.GetString("tokenizer.ggml.pre"));
  }
  GRAFT_ASSIGN_OR_RETURN(tokenizer.tokens, header.GetStrings("tokenizer.ggml.tokens"));
  if (tokenizer.tokens.empty() || tokenizer.tokens.size() > schema::kMaxTokens)
    return header.Fail("tokenizer.ggml.tokens", "lists too few or too many tokens");
  GRAFT_RETURN_IF_ERROR(ReadKinds(header, &tokenizer));
  for (const NamedKey& entry : kNamed) {
    if (!header.Has(entry.key)) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, header.GetInt(entry.key));
    // -1, in whatever type, says that there is none.
    if (id >= 0 && id < static_cast<int64_t>(tokenizer.tokens.size()))
      tokenizer.named.push_back({entry.name, id});
  }
  if (tokenizer.architecture.ends_with("bert")) NameByLooks(&tokenizer);
  GRAFT_RETURN_IF_ERROR(ReadMarks(header, &tokenizer));
  return std::optional(std::move(tokenizer));
}

}  // namespace graft::converter
