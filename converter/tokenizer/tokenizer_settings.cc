// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_settings.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "converter/tokenizer/token_ids.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

// Normalizers of CamemBERT and DeBERTa, and of ALBERT.
constexpr char kOneLine[] =
    R"([{"type":"Replace","pattern":{"Regex":"\\s{2,}|[\\n\\r\\t]"},"content":" "},)"
    R"({"type":"Strip","strip_left":false,"strip_right":true}])";
constexpr char kPlain[] = R"([{"type":"Replace","pattern":{"String":"``"},"content":"\""},)"
                          R"({"type":"Replace","pattern":{"String":"''"},"content":"\""},)"
                          R"({"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"},)"
                          R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}])";
constexpr size_t kMaxTextBytes = size_t{1} << 20;

Json Parsed(const JsonValue& value) {
  // Text is what the bounded parser accepted.
  return Json::parse(value.Text(kMaxTextBytes), nullptr, false);
}

/// Members of files: of whatever kind they are, nothing is thrown.
bool IsText(const Json& object, const char* key, std::string_view text) {
  if (!object.is_object()) return false;
  const auto member = object.find(key);
  return member != object.end() && member->is_string() &&
         member->get_ref<const std::string&>() == text;
}

bool IsTrue(const Json& object, const char* key, bool fallback) {
  const auto member = object.find(key);
  return member != object.end() && member->is_boolean() ? member->get<bool>() : fallback;
}

/// Calls edit(component) for each component of the type, at any depth.
template <typename Edit>
void ForEachOfType(Json* component, std::string_view type, const Edit& edit) {
  if (!component->is_object()) return;
  if (IsText(*component, "type", type)) edit(component);
  for (const char* list : {"normalizers", "pretokenizers", "decoders"}) {
    if (!component->contains(list)) continue;
    for (Json& part : (*component)[list]) ForEachOfType(&part, type, edit);
  }
}

bool Contains(Json component, std::string_view type) {
  bool found = false;
  ForEachOfType(&component, type, [&found](Json*) { found = true; });
  return found;
}

class Changes {
 public:
  explicit Changes(const TokenizerSource& source)
      : source_(source), config_(source.settings.config), changes_(Json::object()) {}

  Status Make() {
    GRAFT_ASSIGN_OR_RETURN(const bool splits, config_.GetBool("split_special_tokens", false));
    if (splits) {
      return config_.Find("split_special_tokens")
          .Fail("is true, and special tokens are always found in texts", StatusCode::kUnsupported);
    }
    ListPieces();
    GRAFT_RETURN_IF_ERROR(AddTokens());
    GRAFT_RETURN_IF_ERROR(SetSteps());
    if (source_.is_made) GRAFT_RETURN_IF_ERROR(SetMarks());
    return OkStatus();
  }
  std::string Text() const { return changes_.dump(-1, ' ', false, Json::error_handler_t::replace); }

 private:
  std::string ModelType() const {
    const JsonValue model = source_.root.Find("model");
    if (const JsonValue type = model.Find("type"); type.IsString())
      return std::string(*type.AsString());
    if (model.Has("merges")) return "BPE";
    return model.Find("vocab").IsArray() ? "Unigram" : "WordPiece";
  }

  std::optional<int64_t> IdOf(std::string_view content) const;
  void ListPieces();
  Status AddTokens();
  Status SetSteps();
  Status SetBert();
  Status SetPrefixSpace();
  Status SetLlama();
  Status SetMetaspace();
  Status SetPieces();
  Status SetMarks();
  Result<Json> Mark(std::string_view key) const;
  Status SetAround(std::string_view begin, std::string_view end, bool two_ends, int second_type);

  const TokenizerSource& source_;
  const JsonValue config_;
  Json changes_;
  std::map<std::string, int64_t, std::less<>> added_ids_;
  std::map<std::string_view, int64_t> piece_ids_;  // of a vocabulary that is a list
};

std::optional<int64_t> Changes::IdOf(std::string_view content) const {
  if (const auto found = added_ids_.find(content); found != added_ids_.end()) return found->second;
  if (const auto found = piece_ids_.find(content); found != piece_ids_.end()) return found->second;
  const Result<int64_t> id = source_.root.Find("model").Find("vocab").Find(content).AsInt();
  return id.ok() ? std::optional<int64_t>(*id) : std::nullopt;
}

void Changes::ListPieces() {
  const JsonValue vocabulary = source_.root.Find("model").Find("vocab");
  for (size_t i = 0; i < vocabulary.size() && vocabulary.IsArray(); ++i) {
    const JsonValue piece = vocabulary.at(i);
    if (piece.IsArray() && piece.size() > 0 && piece.at(0).IsString())
      piece_ids_.insert_or_assign(*piece.at(0).AsString(), static_cast<int64_t>(i));
  }
}

Json TokenJson(int64_t id, const SettingsToken& token) {
  return {{"id", id},
          {"content", token.content},
          {"single_word", token.single_word},
          {"lstrip", token.strip_left},
          {"rstrip", token.strip_right},
          {"normalized", token.normalized},
          {"special", token.special}};
}

// As add_tokens of Hugging Face tokenizers: a token of the vocabulary keeps its id, others get the
// next one. It counts words, so that a vocabulary with holes is none it could number on: then a
// token is where it is listed.
Status Changes::AddTokens() {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<SettingsToken> tokens,
                         ReadSettingsTokens(source_.settings, source_.kind));
  Json added = Json::array();
  std::map<std::string, size_t, std::less<>> places;
  const JsonValue present = source_.root.Find("added_tokens");
  const JsonValue model = source_.root.Find("model");
  int64_t next = CountTokenIds(model, /*added=*/model.Find("added_tokens"));
  const bool has_holes = next != static_cast<int64_t>(model.Find("vocab").size());
  for (size_t i = 0; i < present.size() && present.IsArray(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string content, present.at(i).GetString("content"));
    GRAFT_ASSIGN_OR_RETURN(const int64_t id,
                           present.at(i).GetIntIn("id", 0, schema::kMaxTokens - 1));
    places.emplace(content, added.size());
    added_ids_.emplace(content, id);
    added.push_back(Parsed(present.at(i)));
    next = std::max(next, id + 1);
  }
  bool changed = false;
  for (const SettingsToken& token : tokens) {
    if (token.content.empty()) continue;
    if (const auto place = places.find(token.content); place != places.end()) {
      Json& old = added[place->second];
      // A tokenizer.json that is taken as it is keeps what is special in it.
      const bool stays = source_.kind == TokenizerClass::kBackend && IsTrue(old, "special", false);
      Json changed_token = TokenJson(old["id"].get<int64_t>(), token);
      if (token.listed_id < 0 || stays || changed_token == old) continue;
      old = std::move(changed_token);
      changed = true;
      continue;
    }
    const auto known = IdOf(token.content);
    const bool as_listed = has_holes && token.listed_id >= next;
    const int64_t id = known ? *known : as_listed ? token.listed_id : next;
    next = std::max(next, id + 1);
    if (!known && token.is_idle && id >= source_.embedding_rows) continue;
    places.emplace(token.content, added.size());
    added_ids_.emplace(token.content, id);
    added.push_back(TokenJson(id, token));
    changed = true;
  }
  if (changed) changes_["added_tokens"] = std::move(added);
  return OkStatus();
}

Status Changes::SetSteps() {
  const std::string model = ModelType();
  switch (source_.kind) {
    case TokenizerClass::kBert:
    case TokenizerClass::kMpNet:
      return model == "WordPiece" ? SetBert() : OkStatus();
    case TokenizerClass::kRoberta:
    case TokenizerClass::kDeberta:
      if (model != "BPE") return OkStatus();
      GRAFT_RETURN_IF_ERROR(SetPrefixSpace());
      return SetAround("cls_token", "sep_token", /*two_ends=*/true, 0);
    case TokenizerClass::kGpt2:
    case TokenizerClass::kGptNeoX:
    case TokenizerClass::kQwen2:
      return SetPrefixSpace();
    case TokenizerClass::kLlama:
      return model == "BPE" ? SetLlama() : OkStatus();
    case TokenizerClass::kXlmRoberta:
    case TokenizerClass::kCamembert: {
      if (model != "Unigram") return OkStatus();
      const bool as_it_is = source_.kind == TokenizerClass::kXlmRoberta && !source_.is_made;
      GRAFT_RETURN_IF_ERROR(as_it_is ? SetMetaspace() : SetPieces());
      return SetAround("bos_token", "eos_token", /*two_ends=*/true, 0);
    }
    case TokenizerClass::kAlbert:
    case TokenizerClass::kDebertaV2:
      if (model != "Unigram") return OkStatus();
      GRAFT_RETURN_IF_ERROR(SetPieces());
      return SetAround("cls_token", "sep_token", /*two_ends=*/false, 1);
    case TokenizerClass::kT5:
      return SetAround("", "eos_token", /*two_ends=*/false, 0);
    case TokenizerClass::kBackend:
    case TokenizerClass::kGemma:
      break;
  }
  return OkStatus();
}

Status Changes::SetBert() {
  GRAFT_ASSIGN_OR_RETURN(const bool lowercase, config_.GetBool("do_lower_case", true));
  GRAFT_ASSIGN_OR_RETURN(const bool ideographs, config_.GetBool("tokenize_chinese_chars", true));
  GRAFT_ASSIGN_OR_RETURN(const bool accents, config_.GetBool("strip_accents", lowercase));
  changes_["normalizer"] = {{"type", "BertNormalizer"},
                            {"clean_text", true},
                            {"handle_chinese_chars", ideographs},
                            {"strip_accents", accents},
                            {"lowercase", lowercase}};
  changes_["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  changes_["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}};
  GRAFT_ASSIGN_OR_RETURN(const std::string unknown,
                         NamedToken(source_.settings, source_.kind, "unk_token"));
  if (IdOf(unknown)) changes_["unk_token"] = unknown;
  return SetAround("cls_token", "sep_token", source_.kind == TokenizerClass::kMpNet, 1);
}

Status Changes::SetPrefixSpace() {
  GRAFT_ASSIGN_OR_RETURN(const bool prefix_space, config_.GetBool("add_prefix_space", false));
  Json steps = Parsed(source_.root.Find("pre_tokenizer"));
  bool changed = false;
  ForEachOfType(&steps, "ByteLevel", [&](Json* step) {
    if (IsTrue(*step, "add_prefix_space", true) == prefix_space) return;
    (*step)["add_prefix_space"] = prefix_space;
    changed = true;
  });
  if (changed) changes_["pre_tokenizer"] = std::move(steps);
  return OkStatus();
}

Status Changes::SetLlama() {
  Json steps = Parsed(source_.root.Find("pre_tokenizer"));
  // A vocabulary of bytes is not what the class is for, whatever the settings call it.
  if (Contains(steps, "ByteLevel")) return OkStatus();
  const bool usual = !source_.is_made || !IsText(steps, "prepend_scheme", "never");
  GRAFT_ASSIGN_OR_RETURN(const bool prefix_space, config_.GetBool("add_prefix_space", usual));
  GRAFT_ASSIGN_OR_RETURN(const bool is_legacy, config_.GetBool("legacy", false));
  const char* scheme = !prefix_space ? "never" : is_legacy ? "always" : "first";
  changes_["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
  Json decoders = {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}};
  if (prefix_space)
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  changes_["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  if (source_.is_made) return OkStatus();  // what SentencePiece normalizes stays
  changes_["normalizer"] = {{"type", "Sequence"}, {"normalizers", Json::array()}};
  return OkStatus();
}

Status Changes::SetMetaspace() {
  GRAFT_ASSIGN_OR_RETURN(const bool prefix_space, config_.GetBool("add_prefix_space", true));
  for (const char* member : {"pre_tokenizer", "decoder"}) {
    Json steps = Parsed(source_.root.Find(member));
    ForEachOfType(&steps, "Metaspace", [&](Json* step) {
      step->erase("add_prefix_space");
      (*step)["prepend_scheme"] = prefix_space ? "always" : "never";
    });
    if (!steps.is_null()) changes_[member] = std::move(steps);
  }
  return OkStatus();
}

/// Pieces that begin with a space's mark, and the steps before them, as their class makes them.
Status Changes::SetPieces() {
  GRAFT_ASSIGN_OR_RETURN(const bool prefix_space, config_.GetBool("add_prefix_space", true));
  const bool is_deberta = source_.kind == TokenizerClass::kDebertaV2;
  Json normalizers = Json::parse(source_.kind == TokenizerClass::kAlbert ? kPlain : kOneLine);
  Json steps = Json::array();
  if (source_.kind == TokenizerClass::kXlmRoberta) {
    normalizers = Json::array();
    Json made = Parsed(source_.root.Find("normalizer"));
    ForEachOfType(&made, "Precompiled", [&](Json* step) { normalizers.push_back(*step); });
  }
  if (is_deberta) {
    GRAFT_ASSIGN_OR_RETURN(const bool lowercase, config_.GetBool("do_lower_case", false));
    GRAFT_ASSIGN_OR_RETURN(const bool splits, config_.GetBool("split_by_punct", false));
    normalizers.insert(normalizers.begin() + 1, Json::object({{"type", "NFC"}}));
    if (lowercase) normalizers.insert(normalizers.begin(), Json::object({{"type", "Lowercase"}}));
    if (splits) steps.push_back({{"type", "Punctuation"}, {"behavior", "Isolated"}});
  } else if (source_.kind != TokenizerClass::kCamembert) {
    steps.push_back({{"type", "WhitespaceSplit"}});
  }
  const char* scheme = prefix_space ? "always" : is_deberta ? "first" : "never";
  const Json mark = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}};
  steps.push_back(mark);
  changes_["normalizer"] = {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  changes_["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  changes_["decoder"] = mark;
  return OkStatus();
}

/// [content, id] of a named token.
Result<Json> Changes::Mark(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const std::string content,
                         NamedToken(source_.settings, source_.kind, key));
  const std::optional<int64_t> id = IdOf(content);
  if (id) return Json{content, *id};
  return source_.root.Fail("has no token " + (content.empty() ? std::string(key) : content) +
                               ", which the tokenizer's class puts around a text",
                           StatusCode::kUnsupported);
}

/// One text between two tokens; two with one or two ends between them. begin may be empty.
Status Changes::SetAround(std::string_view begin, std::string_view end, bool two_ends,
                          int second_type) {
  Json tokens = Json::object();
  const auto part = [](const char* kind, std::string_view id, int type) {
    return Json{{kind, {{"id", id}, {"type_id", type}}}};
  };
  Json single = Json::array();
  if (!begin.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const Json mark, Mark(begin));
    tokens["begin"] = {{"id", "begin"}, {"ids", {mark[1]}}};
    single.push_back(part("SpecialToken", "begin", 0));
  }
  GRAFT_ASSIGN_OR_RETURN(const Json mark, Mark(end));
  tokens["end"] = {{"id", "end"}, {"ids", {mark[1]}}};
  single.push_back(part("Sequence", "A", 0));
  single.push_back(part("SpecialToken", "end", 0));
  Json pair = single;
  if (two_ends) pair.push_back(part("SpecialToken", "end", 0));
  pair.push_back(part("Sequence", "B", second_type));
  pair.push_back(part("SpecialToken", "end", second_type));
  changes_["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", std::move(single)},
                                {"pair", std::move(pair)},
                                {"special_tokens", std::move(tokens)}};
  return OkStatus();
}

/// add_bos_token and add_eos_token, which count where there is no tokenizer.json.
Status Changes::SetMarks() {
  if (changes_.contains("post_processor")) return OkStatus();
  Json single = Json::array();
  Json pair = Json::array();
  Json tokens = Json::object();
  const auto add = [&](const char* setting, const char* key, int type, Json* to) -> Status {
    GRAFT_ASSIGN_OR_RETURN(const bool adds, config_.GetBool(setting, false));
    if (!adds) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const std::string content,
                           NamedToken(source_.settings, source_.kind, key));
    if (content.empty()) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(const Json mark, Mark(key));
    tokens[key] = {{"id", key}, {"ids", {mark[1]}}};
    to->push_back({{"SpecialToken", {{"id", key}, {"type_id", type}}}});
    return OkStatus();
  };
  const auto text = [&](const char* id, int type, Json* to) -> Status {
    GRAFT_RETURN_IF_ERROR(add("add_bos_token", "bos_token", type, to));
    to->push_back({{"Sequence", {{"id", id}, {"type_id", type}}}});
    return add("add_eos_token", "eos_token", type, to);
  };
  GRAFT_RETURN_IF_ERROR(text("A", 0, &single));
  GRAFT_RETURN_IF_ERROR(text("A", 0, &pair));
  GRAFT_RETURN_IF_ERROR(text("B", 1, &pair));
  changes_["post_processor"] = {{"type", "TemplateProcessing"},
                                {"single", std::move(single)},
                                {"pair", std::move(pair)},
                                {"special_tokens", std::move(tokens)}};
  return OkStatus();
}

}  // namespace

Result<std::string> ChangesBySettings(const TokenizerSource& source) {
  Changes changes(source);
  GRAFT_RETURN_IF_ERROR(changes.Make());
  return changes.Text();
}

}  // namespace graft::converter
