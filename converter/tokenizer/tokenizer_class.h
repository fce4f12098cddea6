// SPDX-License-Identifier: Apache-2.0
// Which of transformers' tokenizer classes reads a folder: its settings change what tokenizer.json
// says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::converter {

/// Classes that build a part of the tokenizer from settings.
enum class TokenizerClass : uint8_t {
  kBackend,  ///< TokenizersBackend, PreTrainedTokenizerFast, ...: tokenizer.json as it is.
  kBert,
  kRoberta,
  kXlmRoberta,
  kCamembert,
  kGpt2,
  kGptNeoX,
  kQwen2,
  kLlama,
  kGemma,
  kT5,
  kAlbert,
  kDeberta,
  kDebertaV2,
  kMpNet,
};

/// What config.json says of the tokenizer.
struct TokenizerContext {
  std::string model_type = {};
  std::string tokenizer_class = {};
  int64_t embedding_rows = 0;  ///< vocab_size; 0: unknown.
};

/// Errors   kCorrupt: members of another kind.
Result<TokenizerContext> ContextOf(const JsonValue& config);

/// A class name of tokenizer_config.json or config.json, without "Fast"; empty if none is named.
Result<std::string> NamedClass(const JsonValue& settings, const TokenizerContext& context);

/// The class that AutoTokenizer takes for the settings of tokenizer_config.json.
Result<TokenizerClass> ChooseClass(const JsonValue& settings, const TokenizerContext& context);

/// The class of that name, if it is one whose rules graft knows; else `fallback`.
TokenizerClass ClassByName(std::string_view name, TokenizerClass fallback);

}  // namespace graft::converter
