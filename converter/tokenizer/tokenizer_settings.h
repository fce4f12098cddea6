// SPDX-License-Identifier: Apache-2.0
// What the settings beside a tokenizer.json change of it, as transformers' classes do.
#pragma once

#include <string>

#include "converter/json/json.h"
#include "converter/tokenizer/special_tokens.h"
#include "converter/tokenizer/tokenizer_class.h"
#include "schema/result.h"

namespace graft::converter {

/// A tokenizer as its files have it.
struct TokenizerSource {
  JsonValue root;  ///< Of tokenizer.json, or of one made of older files.
  SettingsFiles settings;
  TokenizerClass kind = TokenizerClass::kBackend;
  bool is_made = false;        ///< Of older files: then settings say what goes around a text, too.
  int64_t embedding_rows = 0;  ///< 0: unknown.
};

/// The members of tokenizer.json that come out otherwise, as a JSON object: normalizer,
/// pre_tokenizer, decoder and post_processor by the class's rules, added_tokens with those of the
/// settings. Where tokenizer.json is of another make than the class, its steps stay.
/// Errors   kCorrupt: settings of the wrong kind;
///          kUnsupported: a setting that is not computed. Each names the file and the setting.
/// Source   transformers 5.12, models/*/tokenization_*.py and tokenization_utils_tokenizers.py.
Result<std::string> ChangesBySettings(const TokenizerSource& source);

}  // namespace graft::converter
