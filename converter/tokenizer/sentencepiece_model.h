// SPDX-License-Identifier: Apache-2.0
// tokenizer.model, SentencePiece's protobuf, rewritten as the tokenizer.json that says the same.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

struct ScoredPiece {
  std::string text;
  float score = 0.0f;
};

/// Pieces that a class of transformers has otherwise than the model's file.
struct PieceChanges {
  size_t left_out = 0;                   ///< Pieces at the front that are not taken.
  std::vector<ScoredPiece> before = {};  ///< In their place.
  std::vector<ScoredPiece> after = {};   ///< Behind all others.
  std::string unknown = "";              ///< The unknown piece; empty: what the file says.
};

/// What a model's other files, or its file of another format, say beside its pieces.
struct SentencePieceUse {
  /// A prefix goes before what follows a special token, too, and not only before the text.
  bool prefixes_every_part = false;
  std::string post_processor = "";  ///< JSON; empty: none.
  PieceChanges changes = {};
};

/// The text of a tokenizer.json for `bytes`, the contents of a tokenizer.model of kind BPE or
/// Unigram: BPE as transformers rewrites Llama's, Unigram as T5's, with nothing put around a text.
/// Errors   kCorrupt: not such a file, too many pieces;
///          kUnsupported: a model of words or characters.
/// Source   sentencepiece_model.proto for the fields' numbers.
Result<std::string> SentencePieceToJson(std::string_view bytes, const SentencePieceUse& use = {});

}  // namespace graft::converter
