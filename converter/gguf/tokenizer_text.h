// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, made of what a GGUF file says of its tokenizer.
#pragma once

#include <string>

#include "converter/formats/gguf/gguf_header.h"
#include "converter/gguf/tokenizer_facts.h"
#include "schema/result.h"

namespace graft::converter {

/// The text of a tokenizer.json that makes the same ids.
/// Errors   kUnsupported: a way to cut texts ("tokenizer.ggml.pre") that is not known;
///          kCorrupt, kNotFound: lists that are missing or do not fit.
Result<std::string> GgufTokenizerJson(const GgufHeader& header, const GgufTokenizer& tokenizer);

/// The text of a tokenizer_config.json: special tokens by name.
std::string GgufTokenizerConfig(const GgufTokenizer& tokenizer);

/// The text of a generation_config.json: the tokens that end a text, those among them that only
/// their looks tell.
Result<std::string> GgufGenerationConfig(const GgufHeader& header, const GgufTokenizer& tokenizer);

}  // namespace graft::converter
