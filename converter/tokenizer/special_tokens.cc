// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/special_tokens.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

namespace graft::converter {
namespace {

constexpr std::string_view kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

struct Default {
  std::string_view key;
  std::string_view content;
};
constexpr Default kBertTokens[] = {{"unk_token", "[UNK]"},
                                   {"sep_token", "[SEP]"},
                                   {"pad_token", "[PAD]"},
                                   {"cls_token", "[CLS]"},
                                   {"mask_token", "[MASK]"}};
constexpr Default kRobertaTokens[] = {
    {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "<unk>"},  {"sep_token", "</s>"},
    {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};
constexpr Default kGpt2Tokens[] = {
    {"bos_token", "<|endoftext|>"}, {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}};
constexpr Default kGptNeoXTokens[] = {{"bos_token", "<|endoftext|>"},
                                      {"eos_token", "<|endoftext|>"},
                                      {"unk_token", "<|endoftext|>"},
                                      {"pad_token", "<|padding|>"}};
constexpr Default kQwen2Tokens[] = {
    {"eos_token", "<|endoftext|>"}, {"unk_token", "<|endoftext|>"}, {"pad_token", "<|endoftext|>"}};
constexpr Default kLlamaTokens[] = {
    {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
constexpr Default kGemmaTokens[] = {{"bos_token", "<bos>"},
                                    {"eos_token", "<eos>"},
                                    {"unk_token", "<unk>"},
                                    {"pad_token", "<pad>"},
                                    {"mask_token", "<mask>"}};
constexpr Default kT5Tokens[] = {
    {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};

constexpr Default kAlbertTokens[] = {
    {"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"unk_token", "<unk>"},  {"sep_token", "[SEP]"},
    {"pad_token", "<pad>"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
constexpr Default kDebertaTokens[] = {
    {"bos_token", "[CLS]"}, {"eos_token", "[SEP]"}, {"unk_token", "[UNK]"},  {"sep_token", "[SEP]"},
    {"pad_token", "[PAD]"}, {"cls_token", "[CLS]"}, {"mask_token", "[MASK]"}};
constexpr Default kMpNetTokens[] = {
    {"bos_token", "<s>"},   {"eos_token", "</s>"}, {"unk_token", "[UNK]"},  {"sep_token", "</s>"},
    {"pad_token", "<pad>"}, {"cls_token", "<s>"},  {"mask_token", "<mask>"}};

std::span<const Default> DefaultsOf(TokenizerClass kind) {
  switch (kind) {
    case TokenizerClass::kBackend:
      return {};
    case TokenizerClass::kBert:
      return kBertTokens;
    case TokenizerClass::kRoberta:
    case TokenizerClass::kXlmRoberta:
    case TokenizerClass::kCamembert:
      return kRobertaTokens;
    case TokenizerClass::kGpt2:
      return kGpt2Tokens;
    case TokenizerClass::kGptNeoX:
      return kGptNeoXTokens;
    case TokenizerClass::kQwen2:
      return kQwen2Tokens;
    case TokenizerClass::kLlama:
      return kLlamaTokens;
    case TokenizerClass::kGemma:
      return kGemmaTokens;
    case TokenizerClass::kT5:
      return kT5Tokens;
    case TokenizerClass::kAlbert:
      return kAlbertTokens;
    case TokenizerClass::kDeberta:
    case TokenizerClass::kDebertaV2:
      return kDebertaTokens;
    case TokenizerClass::kMpNet:
      return kMpNetTokens;
  }
  return {};
}

/// A token is a text, or an object with its content and flags.
Result<SettingsToken> ReadToken(const JsonValue& value, bool is_special) {
  SettingsToken token;
  token.special = is_special;
  if (value.IsString()) {
    token.content = *value.AsString();
    return token;
  }
  if (!value.IsObject()) return value.Fail("must be a token: a text, or an object with one");
  GRAFT_ASSIGN_OR_RETURN(token.content, value.GetString("content"));
  GRAFT_ASSIGN_OR_RETURN(token.single_word, value.GetBool("single_word", false));
  GRAFT_ASSIGN_OR_RETURN(token.strip_left, value.GetBool("lstrip", false));
  GRAFT_ASSIGN_OR_RETURN(token.strip_right, value.GetBool("rstrip", false));
  if (!is_special) {
    GRAFT_ASSIGN_OR_RETURN(token.special, value.GetBool("special", false));
  }
  GRAFT_ASSIGN_OR_RETURN(token.normalized, value.GetBool("normalized", !token.special));
  return token;
}

/// Whether an object has the member, be it null.
bool HasMember(const JsonValue& object, std::string_view key) {
  for (size_t i = 0; i < object.size() && object.IsObject(); ++i) {
    if (object.key(i) == key) return true;
  }
  return false;
}

/// special_tokens_map.json counts only where tokenizer_config.json lists no tokens by id, and then
/// before it.
bool UsesMap(const SettingsFiles& files) {
  return files.special_map.IsObject() && !HasMember(files.config, "added_tokens_decoder");
}

/// The named token; none if the files and the class have none.
Result<std::optional<SettingsToken>> FindNamed(const SettingsFiles& files, TokenizerClass kind,
                                               std::string_view key) {
  std::optional<SettingsToken> token;
  JsonValue value = files.config.Find(key);
  if (UsesMap(files) && files.special_map.Has(key)) value = files.special_map.Find(key);
  if (!value.IsNull()) {
    GRAFT_ASSIGN_OR_RETURN(token, ReadToken(value, /*is_special=*/true));
    // Padding and masks are not part of a text.
    token->is_idle = key != "bos_token" && key != "eos_token";
    if (token->content.empty()) token.reset();
    return token;
  }
  if (HasMember(files.config, key)) return token;
  for (const Default& standard : DefaultsOf(kind)) {
    if (standard.key != key) continue;
    token.emplace();
    token->content = standard.content;
    token->is_idle = true;
  }
  return token;
}

/// Tokens that are known by a name of the model's own, such as image_token.
Status ReadModelTokens(const JsonValue& config, std::vector<SettingsToken>* tokens) {
  for (size_t i = 0; i < config.size() && config.IsObject(); ++i) {
    const std::string_view key = config.key(i);
    if (!key.ends_with("_token") || !config.at(i).IsString() ||
        std::find(std::begin(kNames), std::end(kNames), key) != std::end(kNames)) {
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(SettingsToken token, ReadToken(config.at(i), true));
    tokens->push_back(std::move(token));
  }
  return OkStatus();
}

/// extra_special_tokens, or additional_special_tokens as it was called: a list, or by names.
Status ReadExtraTokens(const SettingsFiles& files, std::vector<SettingsToken>* tokens) {
  const auto read = [&](const JsonValue& list) -> Status {
    for (size_t i = 0; i < list.size(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(SettingsToken token, ReadToken(list.at(i), true));
      tokens->push_back(std::move(token));
    }
    return OkStatus();
  };
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    if (!files.config.Has(key)) continue;
    GRAFT_RETURN_IF_ERROR(read(files.config.Find(key)));
    break;
  }
  if (!UsesMap(files)) return OkStatus();
  for (const char* key : {"extra_special_tokens", "additional_special_tokens"}) {
    GRAFT_RETURN_IF_ERROR(read(files.special_map.Find(key)));
  }
  return OkStatus();
}

/// The tokens listed by id, in the order of ids.
Status ReadListedTokens(const SettingsFiles& files, const std::set<std::string>& special,
                        std::vector<SettingsToken>* tokens) {
  std::map<int64_t, SettingsToken> by_id;
  const JsonValue listed = files.config.Find("added_tokens_decoder");
  for (size_t i = 0; i < listed.size() && listed.IsObject(); ++i) {
    int64_t id = 0;
    for (const char c : listed.key(i).substr(0, 9)) {
      if (c < '0' || c > '9') return listed.at(i).Fail("is not under a token id");
      id = id * 10 + (c - '0');
    }
    GRAFT_ASSIGN_OR_RETURN(by_id[id], ReadToken(listed.at(i), false));
  }
  if (!HasMember(files.config, "added_tokens_decoder")) {
    for (size_t i = 0; i < files.added.size() && files.added.IsObject(); ++i) {
      GRAFT_ASSIGN_OR_RETURN(const int64_t id, files.added.at(i).AsInt());
      SettingsToken token;
      token.content = files.added.key(i);
      token.special = special.contains(token.content);
      token.normalized = !token.special;
      by_id[id] = std::move(token);
    }
  }
  for (auto& [id, token] : by_id) {
    token.listed_id = id;
    tokens->push_back(std::move(token));
  }
  return OkStatus();
}

}  // namespace

Result<std::string> NamedToken(const SettingsFiles& files, TokenizerClass kind,
                               std::string_view key) {
  GRAFT_ASSIGN_OR_RETURN(const auto token, FindNamed(files, kind, key));
  return token ? token->content : std::string();
}

Result<std::vector<SettingsToken>> ReadSettingsTokens(const SettingsFiles& files,
                                                      TokenizerClass kind) {
  std::vector<SettingsToken> special;
  for (const std::string_view key : kNames) {
    GRAFT_ASSIGN_OR_RETURN(auto token, FindNamed(files, kind, key));
    if (token) special.push_back(*std::move(token));
  }
  GRAFT_RETURN_IF_ERROR(ReadModelTokens(files.config, &special));
  GRAFT_RETURN_IF_ERROR(ReadExtraTokens(files, &special));
  std::set<std::string> names;
  for (const SettingsToken& token : special) names.insert(token.content);
  std::vector<SettingsToken> tokens;
  GRAFT_RETURN_IF_ERROR(ReadListedTokens(files, names, &tokens));
  for (SettingsToken& token : tokens) {
    token.special = token.special || names.contains(token.content);
  }
  tokens.insert(tokens.end(), special.begin(), special.end());
  return tokens;
}

}  // namespace graft::converter
