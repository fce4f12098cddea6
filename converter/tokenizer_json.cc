// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer_json.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "converter/json.h"
#include "converter/tokenizer_steps.h"
#include "schema/byte_level.h"
#include "schema/generated/tokenizer_generated.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

/// The vocabulary as the file spells it. Views stay valid as long as the document.
struct Vocabulary {
  std::unordered_map<std::string_view, uint32_t> ids;
  std::vector<std::string_view> texts;  // by id

  Status Set(const JsonValue& where, int64_t id, std::string_view text) {
    if (id < 0 || id >= schema::kMaxTokens) {
      return where.Fail("is not a token id below " + std::to_string(schema::kMaxTokens));
    }
    if (texts.size() <= static_cast<size_t>(id)) texts.resize(id + 1);
    texts[id] = text;
    return OkStatus();
  }
};

struct AddedToken {
  std::string_view content;
  uint32_t id = 0;
  bool single_word = false;
  bool strip_left = false;
  bool strip_right = false;
  bool normalized = false;
  bool special = false;
  bool outside_vocabulary = false;
};

struct Bpe {
  std::vector<uint32_t> merges;
  std::vector<uint32_t> results;
  int32_t unknown_id = -1;
  bool byte_fallback = false;
  bool fuse_unknown = false;
  bool ignore_merges = false;
};

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

/// An option of BPE that graft has no equal for must be absent, null, empty or 0.
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

Result<Bpe> ReadBpe(const JsonValue& model, const Vocabulary& vocabulary) {
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    GRAFT_RETURN_IF_ERROR(RequireUnset(model, key));
  }
  Bpe bpe;
  GRAFT_ASSIGN_OR_RETURN(bpe.byte_fallback, model.GetBool("byte_fallback", false));
  GRAFT_ASSIGN_OR_RETURN(bpe.fuse_unknown, model.GetBool("fuse_unk", false));
  GRAFT_ASSIGN_OR_RETURN(bpe.ignore_merges, model.GetBool("ignore_merges", false));
  GRAFT_ASSIGN_OR_RETURN(const std::string unknown, model.GetString("unk_token", ""));
  if (model.Has("unk_token")) {
    const auto found = vocabulary.ids.find(unknown);
    if (found == vocabulary.ids.end()) return model.Find("unk_token").Fail("is not in the vocab");
    bpe.unknown_id = static_cast<int32_t>(found->second);
  }
  GRAFT_ASSIGN_OR_RETURN(const JsonValue merges, model.Get("merges", JsonKind::kArray));
  bpe.merges.reserve(merges.size() * 2);
  bpe.results.reserve(merges.size());
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
    bpe.merges.push_back(vocabulary.ids.find(pair.first)->second);
    bpe.merges.push_back(vocabulary.ids.find(pair.second)->second);
    bpe.results.push_back(vocabulary.ids.find(joined)->second);
  }
  return bpe;
}

/// Reads added_tokens and gives their ids their texts.
Result<std::vector<AddedToken>> ReadAddedTokens(const JsonValue& root, Vocabulary* vocabulary) {
  std::vector<AddedToken> tokens;
  const JsonValue list = root.Find("added_tokens");
  if (list.IsNull()) return tokens;
  if (!list.IsArray()) return list.Fail("must be an array");
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    const JsonValue entry = list.at(i);
    AddedToken token;
    GRAFT_ASSIGN_OR_RETURN(const JsonValue content, entry.Get("content", JsonKind::kString));
    token.content = content.AsString().value();
    GRAFT_ASSIGN_OR_RETURN(const int64_t id, entry.GetIntIn("id", 0, schema::kMaxTokens - 1));
    token.id = static_cast<uint32_t>(id);
    GRAFT_ASSIGN_OR_RETURN(token.single_word, entry.GetBool("single_word", false));
    GRAFT_ASSIGN_OR_RETURN(token.strip_left, entry.GetBool("lstrip", false));
    GRAFT_ASSIGN_OR_RETURN(token.strip_right, entry.GetBool("rstrip", false));
    GRAFT_ASSIGN_OR_RETURN(token.special, entry.GetBool("special", false));
    GRAFT_ASSIGN_OR_RETURN(token.normalized, entry.GetBool("normalized", !token.special));
    if (token.content.empty() || !seen.emplace(token.content, i).second) continue;
    if (token.content.size() > schema::kMaxAddedTokenBytes) return content.Fail("is too long");
    token.outside_vocabulary = !vocabulary->ids.contains(token.content);
    GRAFT_RETURN_IF_ERROR(vocabulary->Set(entry, id, token.content));
    tokens.push_back(token);
  }
  return tokens;
}

Status CheckSpecialIds(const JsonValue& where, const SpecialIds& special, size_t tokens) {
  for (const auto* ids : {&special.prefix, &special.suffix}) {
    if (ids->size() > schema::kMaxSpecialIds)
      return where.Fail("puts too many tokens around a text");
    for (const uint32_t id : *ids) {
      if (id >= tokens)
        return where.Fail("names token " + std::to_string(id) + " of " + std::to_string(tokens));
    }
  }
  return OkStatus();
}

/// Accepts a model of type BPE, or one of no type that has what BPE needs.
Status RequireBpe(const JsonValue& model) {
  GRAFT_ASSIGN_OR_RETURN(const std::string type,
                         model.GetString("type", model.Has("merges") ? "BPE" : "unknown"));
  if (type == "BPE") return OkStatus();
  return model.Fail("is a tokenizer model of type " + type + ", which graft does not know",
                    StatusCode::kUnsupported);
}

}  // namespace

Result<Offset<fb::Tokenizer>> BuildTokenizer(FlatBufferBuilder& builder, const JsonValue& root) {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue model, root.Get("model", JsonKind::kObject));
  GRAFT_RETURN_IF_ERROR(RequireBpe(model));
  GRAFT_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(model));
  GRAFT_ASSIGN_OR_RETURN(const Bpe bpe, ReadBpe(model, vocabulary));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<AddedToken> added, ReadAddedTokens(root, &vocabulary));
  if (vocabulary.texts.empty()) return model.Find("vocab").Fail("is empty");

  GRAFT_ASSIGN_OR_RETURN(const auto normalizer, LowerNormalizer(builder, root.Find("normalizer")));
  GRAFT_ASSIGN_OR_RETURN(const auto pre_tokenizer,
                         LowerPreTokenizer(builder, root.Find("pre_tokenizer")));
  GRAFT_ASSIGN_OR_RETURN(const auto decoder, LowerDecoder(builder, root.Find("decoder")));
  if (pre_tokenizer.is_byte_level != decoder.is_byte_level) {
    return root.Fail("'pre_tokenizer' and 'decoder' must both be of type ByteLevel, or neither",
                     StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const SpecialIds special, LowerPostProcessor(root.Find("post_processor")));
  GRAFT_RETURN_IF_ERROR(
      CheckSpecialIds(root.Find("post_processor"), special, vocabulary.texts.size()));

  const schema::ByteLevelSpelling spelling;
  std::vector<uint8_t> token_bytes;
  std::vector<uint32_t> token_offsets = {0};
  token_offsets.reserve(vocabulary.texts.size() + 1);
  for (const std::string_view text : vocabulary.texts) {
    const std::string bytes =
        pre_tokenizer.is_byte_level ? spelling.Bytes(text) : std::string(text);
    token_bytes.insert(token_bytes.end(), bytes.begin(), bytes.end());
    token_offsets.push_back(static_cast<uint32_t>(token_bytes.size()));
  }
  std::vector<Offset<fb::AddedToken>> added_offsets;
  added_offsets.reserve(added.size());
  for (const AddedToken& token : added) {
    added_offsets.push_back(fb::CreateAddedToken(
        builder, builder.CreateString(token.content.data(), token.content.size()), token.id,
        token.single_word, token.strip_left, token.strip_right, token.normalized, token.special,
        token.outside_vocabulary));
  }

  // Every vector before the table: FlatBuffers does not nest them.
  const auto normalizer_offset = builder.CreateVector(normalizer);
  const auto pre_tokenizer_offset = builder.CreateVector(pre_tokenizer.steps);
  const auto decoder_offset = builder.CreateVector(decoder.steps);
  const auto added_offset = builder.CreateVector(added_offsets);
  const auto prefix_offset = builder.CreateVector(special.prefix);
  const auto suffix_offset = builder.CreateVector(special.suffix);
  const auto bytes_offset = builder.CreateVector(token_bytes);
  const auto offsets_offset = builder.CreateVector(token_offsets);
  const auto merges_offset = builder.CreateVector(bpe.merges);
  const auto results_offset = builder.CreateVector(bpe.results);
  return fb::CreateTokenizer(builder, fb::TokenizerKind::Bpe, normalizer_offset,
                             pre_tokenizer_offset, decoder_offset, added_offset, prefix_offset,
                             suffix_offset, bytes_offset, offsets_offset, merges_offset,
                             results_offset, bpe.unknown_id, bpe.byte_fallback, bpe.fuse_unknown,
                             bpe.ignore_merges, pre_tokenizer.is_byte_level);
}

Result<Offset<fb::Tokenizer>> BuildTokenizer(FlatBufferBuilder& builder,
                                             const std::string& model_folder) {
  const std::filesystem::path file = std::filesystem::path(model_folder) / "tokenizer.json";
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return Offset<fb::Tokenizer>();
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  return BuildTokenizer(builder, document->root());
}

}  // namespace graft::converter
