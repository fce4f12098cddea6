// SPDX-License-Identifier: Apache-2.0
// What a model's folder says about chat: the template, and the tokens that the template writes.
#pragma once

#include <filesystem>
#include <string>

#include "schema/result.h"

namespace graft::converter {

struct ChatFiles {
  std::string source;     ///< The template; empty: none.
  std::string bos_token;  ///< Empty: none.
  std::string eos_token;
};

/// Reads chat_template.jinja, chat_template.json or the template in tokenizer_config.json, the
/// first that there is; of several named ones, "default". The tokens are special_tokens_map.json's
/// where tokenizer_config.json lists no added_tokens_decoder, else tokenizer_config.json's, and
/// those of the other file where the first has none.
/// Errors   kIo;
///          kCorrupt: not what these files hold.
Result<ChatFiles> ReadChatFiles(const std::filesystem::path& folder);

/// The same where an adapter brings folders of its own; either may be empty. Its template and tokens
/// hold before the base's. Tokens of the base hold where the adapter brings no tokenizer.
Result<ChatFiles> ChooseChat(const std::filesystem::path& tokenizer,
                             const std::filesystem::path& chat, const std::filesystem::path& base);

}  // namespace graft::converter
