// SPDX-License-Identifier: Apache-2.0
// tokenizer.model, SentencePiece's protobuf, rewritten as the tokenizer.json that says the same.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::converter {

/// What a model's other files, or its file of another format, say beside its pieces.
struct SentencePieceUse {
  /// A prefix goes before what follows a special token, too, and not only before the text.
  bool prefixes_every_part = false;
  std::string post_processor = "";  ///< JSON; empty: none.
};

/// The text of a tokenizer.json for `bytes`, the contents of a tokenizer.model of kind BPE or
/// Unigram: BPE as transformers rewrites Llama's, Unigram as T5's, with nothing put around a text.
/// Errors   kCorrupt: not such a file, too many pieces;
///          kUnsupported: a model of words or characters.
/// Source   sentencepiece_model.proto for the fields' numbers.
Result<std::string> SentencePieceToJson(std::string_view bytes, const SentencePieceUse& use = {});

}  // namespace graft::converter
