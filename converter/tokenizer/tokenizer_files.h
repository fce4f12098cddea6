// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a model's folder, whichever files it came in.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "converter/json/json.h"
#include "converter/tokenizer/tokenizer_class.h"
#include "schema/result.h"

namespace graft::converter {

/// A tokenizer.json as transformers uses it: with the changes that settings beside it make.
class TokenizerDocument {
 public:
  TokenizerDocument(std::unique_ptr<JsonDocument> file, std::unique_ptr<JsonDocument> changes,
                    std::unique_ptr<JsonDocument> settings)
      : file_(std::move(file)), changes_(std::move(changes)), settings_(std::move(settings)) {}

  /// A member of the root; null if there is none.
  JsonValue Find(std::string_view key) const;
  /// The file's own root, for messages.
  JsonValue root() const { return file_->root(); }
  const std::string& name() const { return file_->name(); }
  /// tokenizer_config.json; an empty object if there is none.
  JsonValue settings() const { return settings_->root(); }

 private:
  std::unique_ptr<JsonDocument> file_;
  std::unique_ptr<JsonDocument> changes_;
  std::unique_ptr<JsonDocument> settings_;
};

/// tokenizer.json; or the same made of vocab.txt (BERT), vocab.json and merges.txt (GPT-2, RoBERTa,
/// Qwen2) or tokenizer.model (Llama, T5), whose class tokenizer_config.json names; changed as
/// ChangesBySettings says. context: what the model's config.json says. Null: none of them.
/// Errors   kIo, kCorrupt, kUnsupported: a class that graft does not know how to rewrite; those of
///          ChangesBySettings.
Result<std::unique_ptr<TokenizerDocument>> ReadTokenizerFiles(const std::filesystem::path& folder,
                                                              const TokenizerContext& context = {});

}  // namespace graft::converter
