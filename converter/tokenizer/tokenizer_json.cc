// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_files.h"
#include "converter/tokenizer/tokenizer_model.h"
#include "converter/tokenizer/tokenizer_steps.h"
#include "converter/tokenizer/tokenizer_template.h"
#include "schema/byte_level.h"
#include "schema/generated/tokenizer_generated.h"
#include "schema/verify_tokenizer.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

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

/// The members of a tokenizer.json.
struct TokenizerMembers {
  JsonValue root;  // for messages
  JsonValue model;
  JsonValue unknown_token;  // in place of the model's; null: it stays
  JsonValue added_tokens;
  JsonValue normalizer;
  JsonValue pre_tokenizer;
  JsonValue decoder;
  JsonValue post_processor;
  JsonValue truncation;

  template <typename Document>
  static TokenizerMembers Of(const JsonValue& root, const Document& document) {
    return {root,
            document.Find("model"),
            document.Find("unk_token"),
            document.Find("added_tokens"),
            document.Find("normalizer"),
            document.Find("pre_tokenizer"),
            document.Find("decoder"),
            document.Find("post_processor"),
            document.Find("truncation")};
  }
};

/// Reads added_tokens and gives their ids their texts.
Result<std::vector<AddedToken>> ReadAddedTokens(const JsonValue& list, Vocabulary* vocabulary) {
  std::vector<AddedToken> tokens;
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

/// The bytes of all tokens, one behind the other, and where each starts.
struct TokenTable {
  std::vector<uint8_t> bytes;
  std::vector<uint32_t> offsets = {0};
};

TokenTable SpellTokens(const Vocabulary& vocabulary, bool is_byte_level) {
  const schema::ByteLevelSpelling spelling;
  TokenTable table;
  table.offsets.reserve(vocabulary.texts.size() + 1);
  for (const std::string_view text : vocabulary.texts) {
    const std::string bytes = is_byte_level ? spelling.Bytes(text) : std::string(text);
    table.bytes.insert(table.bytes.end(), bytes.begin(), bytes.end());
    table.offsets.push_back(static_cast<uint32_t>(table.bytes.size()));
  }
  return table;
}

std::vector<fb::TemplatePart> TemplateParts(const std::vector<PostProcessor::Part>& parts) {
  std::vector<fb::TemplatePart> result;
  result.reserve(parts.size());
  for (const PostProcessor::Part& part : parts) result.emplace_back(part.id, part.type_id);
  return result;
}

fb::TokenizerKind KindOf(TokenizerModelKind kind) {
  switch (kind) {
    case TokenizerModelKind::kWordPiece:
      return fb::TokenizerKind::WordPiece;
    case TokenizerModelKind::kUnigram:
      return fb::TokenizerKind::Unigram;
    case TokenizerModelKind::kBytePairs:
      break;
  }
  return fb::TokenizerKind::Bpe;
}

/// Where a text is cut, if it is.
struct Truncation {
  uint32_t max_tokens = 0;
  bool cuts_start = false;
};

Result<Truncation> ReadTruncation(const JsonValue& truncation) {
  Truncation result;
  if (truncation.IsNull()) return result;
  GRAFT_ASSIGN_OR_RETURN(const int64_t length, truncation.GetInt("max_length"));
  if (length < 1) return truncation.Find("max_length").Fail("must be at least 1");
  GRAFT_ASSIGN_OR_RETURN(const std::string direction, truncation.GetString("direction", "Right"));
  GRAFT_ASSIGN_OR_RETURN(const std::string strategy,
                         truncation.GetString("strategy", "LongestFirst"));
  if (strategy != "LongestFirst") {
    return truncation.Find("strategy").Fail("is not LongestFirst", StatusCode::kUnsupported);
  }
  // Beyond the limit no text is ever cut.
  if (length <= UINT32_MAX) result.max_tokens = static_cast<uint32_t>(length);
  result.cuts_start = direction == "Left";
  return result;
}

/// A tokenizer.json, read; its steps lie in the builder already.
struct TokenizerParts {
  TokenizerModel model;
  std::vector<AddedToken> added;
  StepList<fb::NormalizerStep> normalizer;
  PreTokenizerSteps pre_tokenizer;
  DecoderSteps decoder;
  PostProcessor around;
  Truncation truncation;
};

/// The model and the added tokens, which are part of its vocabulary.
Status ReadModel(const TokenizerMembers& members, TokenizerParts* parts) {
  const JsonValue& model_json = members.model;
  if (!model_json.IsObject()) return members.root.Get("model", JsonKind::kObject).status();
  TokenizerModel& model = parts->model;
  GRAFT_ASSIGN_OR_RETURN(model, ReadTokenizerModel(model_json, members.unknown_token));
  Vocabulary& vocabulary = model.vocabulary;
  GRAFT_ASSIGN_OR_RETURN(parts->added, ReadAddedTokens(members.added_tokens, &vocabulary));
  if (vocabulary.texts.empty()) return model_json.Find("vocab").Fail("is empty");
  for (const uint32_t id : model.order) {
    // The order is by the bytes that the vocabulary gave a token; an added one may name its id.
    const auto named = vocabulary.ids.find(vocabulary.texts[id]);
    if (named == vocabulary.ids.end() || named->second != id) {
      return members.added_tokens.Fail("gives token " + std::to_string(id) +
                                       " another text than the vocab");
    }
  }
  if (!model.scores.empty()) {
    // Scores of added tokens are never looked at, and must not become the least.
    const double most = *std::max_element(model.scores.begin(), model.scores.end());
    model.scores.resize(vocabulary.texts.size(), most);
  }
  return OkStatus();
}

Status ReadSteps(FlatBufferBuilder& builder, const TokenizerMembers& members,
                 TokenizerParts* parts) {
  GRAFT_ASSIGN_OR_RETURN(parts->normalizer, LowerNormalizer(builder, members.normalizer));
  GRAFT_ASSIGN_OR_RETURN(parts->pre_tokenizer, LowerPreTokenizer(builder, members.pre_tokenizer));
  GRAFT_ASSIGN_OR_RETURN(parts->decoder, LowerDecoder(builder, members.decoder));
  GRAFT_RETURN_IF_ERROR(
      CheckLeftOut(parts->decoder, parts->model.vocabulary.texts, members.decoder));
  const bool is_byte_level = parts->pre_tokenizer.is_byte_level;
  if (is_byte_level != parts->decoder.is_byte_level) {
    return members.root.Fail(
        "'pre_tokenizer' and 'decoder' must both be of type ByteLevel, or neither",
        StatusCode::kUnsupported);
  }
  if (is_byte_level && parts->model.kind != TokenizerModelKind::kBytePairs) {
    return members.root.Fail(
        "has a ByteLevel pre-tokenizer before a model that does not merge bytes",
        StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(parts->around, ReadPostProcessor(members.post_processor,
                                                          parts->model.vocabulary.texts.size()));
  return OkStatus();
}

std::vector<Offset<fb::AddedToken>> WriteAddedTokens(FlatBufferBuilder& builder,
                                                     const std::vector<AddedToken>& added) {
  std::vector<Offset<fb::AddedToken>> offsets;
  offsets.reserve(added.size());
  for (const AddedToken& token : added) {
    offsets.push_back(fb::CreateAddedToken(
        builder, builder.CreateString(token.content.data(), token.content.size()), token.id,
        token.single_word, token.strip_left, token.strip_right, token.normalized, token.special,
        token.outside_vocabulary));
  }
  return offsets;
}

Offset<fb::Tokenizer> WriteTokenizer(FlatBufferBuilder& builder, const TokenizerParts& parts) {
  const TokenizerModel& model = parts.model;
  const bool is_byte_level = parts.pre_tokenizer.is_byte_level;
  const TokenTable table = SpellTokens(model.vocabulary, is_byte_level);
  const auto added_offsets = WriteAddedTokens(builder, parts.added);
  // Every vector before the table: FlatBuffers does not nest them.
  const auto normalizer_offset = builder.CreateVector(parts.normalizer);
  const auto pre_tokenizer_offset = builder.CreateVector(parts.pre_tokenizer.steps);
  const auto decoder_offset = builder.CreateVector(parts.decoder.steps);
  const auto added_offset = builder.CreateVector(added_offsets);
  const auto prefix_offset = builder.CreateVector(parts.around.prefix);
  const auto suffix_offset = builder.CreateVector(parts.around.suffix);
  const auto bytes_offset = builder.CreateVector(table.bytes);
  const auto offsets_offset = builder.CreateVector(table.offsets);
  const auto merges_offset = builder.CreateVector(model.merges);
  const auto results_offset = builder.CreateVector(model.results);
  const auto vector_unless_empty = [&](const auto& elements) {
    return elements.empty() ? decltype(builder.CreateVector(elements))()
                            : builder.CreateVector(elements);
  };
  const auto order_offset = vector_unless_empty(model.order);
  const auto scores_offset = vector_unless_empty(model.scores);
  const auto continuing_offset = builder.CreateString(model.continuing_prefix);
  const auto template_of = [&](const std::vector<PostProcessor::Part>& template_parts) {
    return template_parts.empty() ? Offset<flatbuffers::Vector<const fb::TemplatePart*>>()
                                  : builder.CreateVectorOfStructs(TemplateParts(template_parts));
  };
  const auto single_offset = template_of(parts.around.single);
  const auto pair_offset = template_of(parts.around.pair);
  return fb::CreateTokenizer(builder, KindOf(model.kind), normalizer_offset, pre_tokenizer_offset,
                             decoder_offset, added_offset, prefix_offset, suffix_offset,
                             bytes_offset, offsets_offset, merges_offset, results_offset,
                             model.unknown_id, model.byte_fallback, model.fuse_unknown,
                             model.ignore_merges, is_byte_level, order_offset, scores_offset,
                             continuing_offset, model.max_word_characters, single_offset,
                             pair_offset, parts.truncation.max_tokens, parts.truncation.cuts_start);
}

/// Whether a normalizer lowercases by a step of its own, as sentence-transformers looks for it.
bool HasLowercase(const JsonValue& normalizer) {
  const auto is_one = [](const JsonValue& step) {
    const JsonValue type = step.Find("type");
    return type.IsString() && *type.AsString() == "Lowercase";
  };
  const JsonValue steps = normalizer.Find("normalizers");
  bool found = is_one(normalizer);
  for (size_t i = 0; i < steps.size(); ++i) found = found || is_one(steps.at(i));
  return found;
}

Result<Offset<fb::Tokenizer>> Build(FlatBufferBuilder& builder, const TokenizerMembers& members,
                                    const TokenizerUse& use) {
  TokenizerParts parts;
  GRAFT_RETURN_IF_ERROR(ReadModel(members, &parts));
  GRAFT_RETURN_IF_ERROR(ReadSteps(builder, members, &parts));
  if (use.lowercases && !HasLowercase(members.normalizer)) {
    parts.normalizer.insert(parts.normalizer.begin(),
                            fb::CreateNormalizerStep(builder, fb::NormalizerKind::Lowercase));
  }
  if (use.max_tokens) {
    // Beyond the limit no text is ever cut.
    if (*use.max_tokens <= UINT32_MAX)
      parts.truncation = {static_cast<uint32_t>(*use.max_tokens), use.cuts_start};
  } else if (use.keeps_truncation) {
    GRAFT_ASSIGN_OR_RETURN(parts.truncation, ReadTruncation(members.truncation));
  }
  return WriteTokenizer(builder, parts);
}

}  // namespace

Result<Offset<fb::Tokenizer>> BuildTokenizer(FlatBufferBuilder& builder, const JsonValue& root,
                                             const TokenizerUse& use) {
  return Build(builder, TokenizerMembers::Of(root, root), use);
}

Result<Offset<fb::Tokenizer>> BuildTokenizer(FlatBufferBuilder& builder,
                                             const TokenizerDocument& document,
                                             const TokenizerUse& use) {
  return Build(builder, TokenizerMembers::Of(document.root(), document), use);
}

Result<Offset<fb::Tokenizer>> BuildTokenizer(FlatBufferBuilder& builder,
                                             const std::string& model_folder,
                                             const TokenizerUse& use) {
  GRAFT_ASSIGN_OR_RETURN(const auto document, ReadTokenizerFiles(model_folder));
  if (document == nullptr) return Offset<fb::Tokenizer>();
  return BuildTokenizer(builder, *document, use);
}

}  // namespace graft::converter
