// SPDX-License-Identifier: Apache-2.0
// A SentencePiece model (tokenizer.model), made of the pieces in a GGUF file.
#pragma once

#include <string>

#include "converter/formats/gguf/gguf_header.h"
#include "converter/gguf/tokenizer_facts.h"
#include "schema/result.h"

namespace graft::converter {

/// The bytes of a tokenizer.model of kind BPE ("llama") or Unigram ("t5").
/// Errors   kCorrupt, kNotFound: scores that are missing or do not fit.
/// Source   sentencepiece_model.proto for the fields' numbers.
Result<std::string> GgufSentencePieceBytes(const GgufHeader& header,
                                           const GgufTokenizer& tokenizer);

}  // namespace graft::converter
