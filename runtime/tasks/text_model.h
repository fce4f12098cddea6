// SPDX-License-Identifier: Apache-2.0
// TextModel: a model together with the tokenizer its file carries, if it carries one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/vocabulary.h"
#include "runtime/model/model.h"
#include "runtime/platform/data_source.h"
#include "runtime/tokenizer/tokenizer.h"
#include "schema/result.h"

namespace graft::runtime {

/// Immutable: any number of threads and sessions may share it.
class TextModel {
 public:
  /// Errors   those of Model::Open and Tokenizer::Create, with `name` put before them.
  static Result<std::shared_ptr<const TextModel>> Open(std::shared_ptr<const DataSource> source,
                                                       const ModelOptions& options,
                                                       std::string_view name);
  /// The two halves of Open: see Model::Prepare and Model::LoadWeights.
  static Result<std::shared_ptr<TextModel>> Prepare(std::shared_ptr<const DataSource> source,
                                                    const ModelOptions& options,
                                                    std::string_view name);
  Status LoadWeights(const TextModel* replaced, std::string_view name);

  std::shared_ptr<const Model> model() const { return model_; }
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }  ///< null if there is none

  /// The bytes of the model's tokens, for text that must have a form. with_marks: also those of
  /// special tokens that are marks of calls. Made when first asked for, and kept until Trim. Any
  /// thread.
  /// Errors   kFailedPrecondition: no tokenizer;
  ///          kUnsupported: more than 2^24 tokens.
  /// Cost     the first time: a sort of the tokens, and about 60 bytes a token that stay.
  Result<std::shared_ptr<const Vocabulary>> TokenTexts(bool with_marks = false) const;

  /// A checksum of the tokens' bytes, by which models whose ids mean the same are known. Kept. Any
  /// thread.
  /// Errors   kFailedPrecondition: no tokenizer.
  Result<uint64_t> TokensChecksum() const;

  /// As Model::Trim, and what the tokenizer remembers of texts. Any thread.
  void Trim() const;

  /// Errors   kFailedPrecondition: no tokenizer; those of Tokenizer::Encode.
  Result<std::vector<int32_t>> Encode(std::string_view text, bool add_special) const;
  /// Errors   kFailedPrecondition: no tokenizer; those of Tokenizer::EncodeTyped.
  Result<TypedIds> EncodeTyped(std::string_view first, std::optional<std::string_view> second,
                               bool add_special, size_t max_tokens,
                               const std::atomic<bool>* cancel = nullptr) const;
  /// Errors   kFailedPrecondition: no tokenizer;
  ///          kOutOfRange: an id that is neither a token's nor in the model's vocabulary.
  Result<std::string> Decode(std::span<const int32_t> ids, bool skip_special) const;

 private:
  TextModel(std::shared_ptr<Model> model, std::unique_ptr<const Tokenizer> tokenizer)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {}
  Status RequireTokenizer() const;

  std::shared_ptr<Model> model_;  // holds the bytes that the tokenizer reads
  std::unique_ptr<const Tokenizer> tokenizer_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Vocabulary> vocabularies_[2];  // the second with marks
  mutable std::optional<uint64_t> tokens_checksum_;
};

/// Errors   kMismatch: an id is another token in `draft` than in `model`;
///          kUnsupported: `draft` does not generate text by itself;
///          kFailedPrecondition: one of them has no tokenizer.
Status CheckSameTokens(const TextModel& model, const TextModel& draft);

}  // namespace graft::runtime
