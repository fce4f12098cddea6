// SPDX-License-Identifier: Apache-2.0
// The model of tokenizer.json: its vocabulary, and the rule by which it turns a piece of text into
// tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

/// The vocabulary as the file spells it. Views stay valid as long as the document.
struct Vocabulary {
  std::unordered_map<std::string_view, uint32_t> ids;
  std::vector<std::string_view> texts;  ///< by id

  /// Gives `id` a text, without making it one that text is turned into.
  Status Set(const JsonValue& where, int64_t id, std::string_view text);
};

enum class TokenizerModelKind : uint8_t { kBytePairs, kWordPiece, kUnigram };

struct TokenizerModel {
  TokenizerModelKind kind = TokenizerModelKind::kBytePairs;
  Vocabulary vocabulary;
  int32_t unknown_id = -1;  ///< -1: none
  bool byte_fallback = false;
  bool fuse_unknown = false;
  bool ignore_merges = false;     ///< of byte pairs, as the next two
  std::vector<uint32_t> merges;   ///< two ids for each
  std::vector<uint32_t> results;  ///< one id for each
  std::string continuing_prefix;  ///< of WordPiece, as the next
  uint32_t max_word_characters = 0;
  std::vector<double> scores;  ///< of Unigram, by id
  /// WordPiece and Unigram: ids of what text is turned into, in ascending order of their bytes.
  std::vector<uint32_t> order;
};

/// Reads the member `model` of a tokenizer.json. unknown_token, unless null, is the token for words
/// that WordPiece does not know, in place of the model's.
/// Errors   kCorrupt: not what the format says;
///          kUnsupported: a type or setting that graft does not know.
Result<TokenizerModel> ReadTokenizerModel(const JsonValue& model, const JsonValue& unknown_token);

}  // namespace graft::converter
