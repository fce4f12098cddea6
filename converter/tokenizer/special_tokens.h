// SPDX-License-Identifier: Apache-2.0
// Tokens that the files beside a tokenizer add to it: special ones by name, and those in lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_class.h"
#include "schema/result.h"

namespace graft::converter {

/// A token with the flags of tokenizer.json.
struct SettingsToken {
  std::string content;
  bool single_word = false;
  bool strip_left = false;
  bool strip_right = false;
  bool normalized = false;
  bool special = true;
  int64_t listed_id = -1;  ///< Under which it is listed: its flags hold before tokenizer.json's.
  /// Nothing of the model's texts depends on it: transformers gives it a new id, but the model's
  /// embedding need not have it.
  bool is_idle = false;
};

/// Files beside the vocabulary, as the roots of their documents; null values where there are none.
struct SettingsFiles {
  JsonValue config;       ///< tokenizer_config.json
  JsonValue special_map;  ///< special_tokens_map.json
  JsonValue added;        ///< added_tokens.json
};

/// The content of the special token `key`, "cls_token" for one: from the files, or the class's own.
/// Empty: none.
Result<std::string> NamedToken(const SettingsFiles& files, TokenizerClass kind,
                               std::string_view key);

/// All tokens, in the order in which transformers adds them.
/// Errors   kCorrupt: not what these files hold.
Result<std::vector<SettingsToken>> ReadSettingsTokens(const SettingsFiles& files,
                                                      TokenizerClass kind);

}  // namespace graft::converter
