// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

Result<Vocabulary> ReadVocabulary(const JsonValue& model) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue vocab, model.Get("vocab", JsonKind::kObject));
  Vocabulary vocabulary;
  vocabulary.ids.reserve(vocab.size());
  for (size_t i = 0; i < vocab.size(); ++i) {
    const JsonValue entry = vocab.at(i);
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, entry.AsInt());
    const bool is_taken = id >= 0 && static_cast<size_t>(id) < vocabulary.texts.size() &&
                          vocabulary.texts[id].data() != nullptr;
    if (is_taken) return entry.Fail("is the id " + std::to_string(id) + " of another token too");
    GRAFT_RETURN_IF_ERROR(vocabulary.Set(entry, id, vocab.key(i)));
    vocabulary.ids.emplace(vocab.key(i), static_cast<uint32_t>(id));
  }
  return vocabulary;
}

/// The two tokens of a merge: "a b" or ["a", "b"].
Result<std::pair<std::string_view, std::string_view>> ReadMerge(const JsonValue& merge) {
  std::pair<std::string_view, std::string_view> pair;
  if (merge.IsArray()) {
    if (merge.size() != 2) return merge.Fail("must hold two tokens");
    GRAFT_ASSIGN_OR_RETURN(pair.first, merge.at(0).AsString());
    GRAFT_ASSIGN_OR_RETURN(pair.second, merge.at(1).AsString());
    return pair;
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string_view text, merge.AsString());
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    return merge.Fail("must be two tokens with a space between them");
  }
  return std::pair(text.substr(0, space), text.substr(space + 1));
}

/// An option of BPE that graft does not compute must be absent, null, empty or 0.
Status RequireUnset(const JsonValue& model, const char* key) {
  const JsonValue option = model.Find(key);
  if (option.IsNull()) return OkStatus();
  if (option.IsString() && option.AsString().value().empty()) return OkStatus();
  if (const Result<double> number = option.AsDouble(); number.ok() && *number == 0) {
    return OkStatus();
  }
  return option.Fail("is set to " + option.Text() + ", which graft does not know",
                     StatusCode::kUnsupported);
}

Status SetUnknownToken(const JsonValue& model, std::string_view unknown, TokenizerModel* result) {
  const auto found = result->vocabulary.ids.find(unknown);
  if (found == result->vocabulary.ids.end()) {
    return model.Find("unk_token").Fail("is not in the vocab");
  }
  result->unknown_id = static_cast<int32_t>(found->second);
  return OkStatus();
}

Status ReadUnknownToken(const JsonValue& model, TokenizerModel* result) {
  GRAFT_ASSIGN_OR_RETURN(const std::string unknown, model.GetString("unk_token"));
  return SetUnknownToken(model, unknown, result);
}
Status ReadBytePairs(const JsonValue& model, TokenizerModel* result) {
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    GRAFT_RETURN_IF_ERROR(RequireUnset(model, key));
  }
  const Vocabulary& vocabulary = result->vocabulary;
  GRAFT_ASSIGN_OR_RETURN(result->byte_fallback, model.GetBool("byte_fallback", false));
  GRAFT_ASSIGN_OR_RETURN(result->fuse_unknown, model.GetBool("fuse_unk", false));
  GRAFT_ASSIGN_OR_RETURN(result->ignore_merges, model.GetBool("ignore_merges", false));
  if (model.Has("unk_token")) GRAFT_RETURN_IF_ERROR(ReadUnknownToken(model, result));
  GRAFT_ASSIGN_OR_RETURN(const JsonValue merges, model.Get("merges", JsonKind::kArray));
  result->merges.reserve(merges.size() * 2);
  result->results.reserve(merges.size());
  std::string joined;
  for (size_t i = 0; i < merges.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const auto pair, ReadMerge(merges.at(i)));
    joined.assign(pair.first);
    joined += pair.second;
    for (const std::string_view token : {pair.first, pair.second, std::string_view(joined)}) {
      if (!vocabulary.ids.contains(token)) {
        return merges.at(i).Fail("needs the token \"" + std::string(token) +
                                 "\", which is not in the vocab");
      }
    }
    result->merges.push_back(vocabulary.ids.find(pair.first)->second);
    result->merges.push_back(vocabulary.ids.find(pair.second)->second);
    result->results.push_back(vocabulary.ids.find(joined)->second);
  }
  return OkStatus();
}

/// Lists what text is turned into.
Status OrderTokens(const JsonValue& model, TokenizerModel* result) {
  const Vocabulary& vocabulary = result->vocabulary;
  for (const auto& [text, id] : vocabulary.ids) {
    if (text.size() > schema::kMaxOrderedTokenBytes) {
      return model.Find("vocab").Fail("has a token of " + std::to_string(text.size()) +
                                          " bytes, of which " +
                                          std::to_string(schema::kMaxOrderedTokenBytes) + " fit",
                                      StatusCode::kUnsupported);
    }
    if (!text.empty()) result->order.push_back(id);
  }
  if (result->order.empty()) return model.Find("vocab").Fail("is empty");
  std::sort(result->order.begin(), result->order.end(),
            [&](uint32_t a, uint32_t b) { return vocabulary.texts[a] < vocabulary.texts[b]; });
  return OkStatus();
}

Status ReadWordPiece(const JsonValue& model, const JsonValue& unknown, TokenizerModel* result) {
  if (unknown.IsString()) {
    GRAFT_RETURN_IF_ERROR(SetUnknownToken(model, *unknown.AsString(), result));
  } else {
    GRAFT_RETURN_IF_ERROR(ReadUnknownToken(model, result));
  }
  GRAFT_ASSIGN_OR_RETURN(result->continuing_prefix,
                         model.GetString("continuing_subword_prefix", "##"));
  if (result->continuing_prefix.size() > schema::kMaxOrderedTokenBytes) {
    return model.Find("continuing_subword_prefix").Fail("is too long");
  }
  GRAFT_ASSIGN_OR_RETURN(const int64_t characters, model.GetIntIn("max_input_chars_per_word", 0,
                                                                  schema::kMaxWordCharacters, 100));
  result->max_word_characters = static_cast<uint32_t>(characters);
  return OrderTokens(model, result);
}

/// A vocabulary of Unigram: [token, score] for each id. Of equal tokens the last counts.
Status ReadScoredVocabulary(const JsonValue& model, TokenizerModel* result) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue vocab, model.Get("vocab", JsonKind::kArray));
  if (vocab.size() > schema::kMaxTokens) return vocab.Fail("has too many tokens");
  result->vocabulary.ids.reserve(vocab.size());
  result->scores.reserve(vocab.size());
  for (size_t i = 0; i < vocab.size(); ++i) {
    const JsonValue entry = vocab.at(i);
    if (!entry.IsArray() || entry.size() != 2) return entry.Fail("must hold a token and its score");
    GRAFT_ASSIGN_OR_RETURN(const std::string_view text, entry.at(0).AsString());
    GRAFT_ASSIGN_OR_RETURN(const double score, entry.at(1).AsDouble());
    if (!std::isfinite(score)) return entry.at(1).Fail("is not a score");
    GRAFT_RETURN_IF_ERROR(result->vocabulary.Set(entry, static_cast<int64_t>(i), text));
    result->vocabulary.ids[text] = static_cast<uint32_t>(i);
    result->scores.push_back(score);
  }
  return OkStatus();
}

Status ReadUnigram(const JsonValue& model, TokenizerModel* result) {
  GRAFT_RETURN_IF_ERROR(ReadScoredVocabulary(model, result));
  GRAFT_ASSIGN_OR_RETURN(result->byte_fallback, model.GetBool("byte_fallback", false));
  GRAFT_ASSIGN_OR_RETURN(result->fuse_unknown, model.GetBool("fuse_unk", true));
  const auto last = static_cast<int64_t>(result->scores.size()) - 1;
  if (model.Has("unk_id")) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t unknown, model.GetIntIn("unk_id", 0, last));
    result->unknown_id = static_cast<int32_t>(unknown);
  }
  return OrderTokens(model, result);
}

/// The type of a model. The oldest files do not name it; their members tell.
Result<std::string> TypeOf(const JsonValue& model) {
  const char* guess = "unknown";
  if (model.Has("merges")) {
    guess = "BPE";
  } else if (model.Has("max_input_chars_per_word")) {
    guess = "WordPiece";
  } else if (model.Find("vocab").IsArray()) {
    guess = "Unigram";
  }
  return model.GetString("type", guess);
}

}  // namespace

Status Vocabulary::Set(const JsonValue& where, int64_t id, std::string_view text) {
  if (id < 0 || id >= schema::kMaxTokens) {
    return where.Fail("is not a token id below " + std::to_string(schema::kMaxTokens));
  }
  if (texts.size() <= static_cast<size_t>(id)) texts.resize(id + 1);
  texts[id] = text;
  return OkStatus();
}

Result<TokenizerModel> ReadTokenizerModel(const JsonValue& model, const JsonValue& unknown_token) {
  GRAFT_ASSIGN_OR_RETURN(const std::string type, TypeOf(model));
  TokenizerModel result;
  if (type == "Unigram") {
    result.kind = TokenizerModelKind::kUnigram;
    GRAFT_RETURN_IF_ERROR(ReadUnigram(model, &result));
    return result;
  }
  if (type != "BPE" && type != "WordPiece") {
    return model.Fail("is a tokenizer model of type " + type + ", which graft does not know",
                      StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(result.vocabulary, ReadVocabulary(model));
  if (type == "WordPiece") {
    result.kind = TokenizerModelKind::kWordPiece;
    GRAFT_RETURN_IF_ERROR(ReadWordPiece(model, unknown_token, &result));
  } else {
    GRAFT_RETURN_IF_ERROR(ReadBytePairs(model, &result));
  }
  return result;
}

}  // namespace graft::converter
