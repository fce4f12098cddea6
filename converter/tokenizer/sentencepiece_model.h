// SPDX-License-Identifier: Apache-2.0
// tokenizer.model, SentencePiece's protobuf, rewritten as the tokenizer.json that says the same.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::converter {

/// What tokenizer_config.json says beside the model: whether a text gets these tokens around it.
struct SentencePieceMarks {
  bool adds_bos = false;
  bool adds_eos = false;
};

/// The text of a tokenizer.json for `bytes`, the contents of a tokenizer.model of kind BPE or
/// Unigram: BPE as transformers rewrites Llama's, Unigram as T5's.
/// Errors   kCorrupt: not such a file, too many pieces;
///          kUnsupported: a model of words or characters.
/// Source   sentencepiece_model.proto for the fields' numbers.
Result<std::string> SentencePieceToJson(std::string_view bytes, const SentencePieceMarks& marks);

}  // namespace graft::converter
