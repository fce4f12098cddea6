// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/text_model.h"

#include <algorithm>
#include <utility>

#include "runtime/tools/reply_format.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {

Result<std::shared_ptr<const TextModel>> TextModel::Open(std::shared_ptr<const DataSource> source,
                                                         const ModelOptions& options,
                                                         std::string_view name) {
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<TextModel> model,
                         Prepare(std::move(source), options, name));
  GRAFT_RETURN_IF_ERROR(model->LoadWeights(nullptr, name));
  return std::shared_ptr<const TextModel>(std::move(model));
}

Result<std::shared_ptr<TextModel>> TextModel::Prepare(std::shared_ptr<const DataSource> source,
                                                      const ModelOptions& options,
                                                      std::string_view name) {
  Result<std::shared_ptr<Model>> model = Model::Prepare(std::move(source), options);
  if (!model.ok()) return model.status().WithContext(name);
  std::unique_ptr<const Tokenizer> tokenizer;
  if (const auto* tables = (*model)->verified().model().tokenizer(); tables != nullptr) {
    Result<std::unique_ptr<const Tokenizer>> created = Tokenizer::Create(*tables);
    if (!created.ok()) return created.status().WithContext("tokenizer").WithContext(name);
    tokenizer = std::move(created).value();
  }
  return std::shared_ptr<TextModel>(new TextModel(std::move(model).value(), std::move(tokenizer)));
}

Status TextModel::LoadWeights(const TextModel* replaced, std::string_view name) {
  const Status status = model_->LoadWeights(replaced == nullptr ? nullptr : replaced->model_.get());
  return status.ok() ? status : status.WithContext(name);
}

void TextModel::Trim() const {
  model_->Trim();
  if (tokenizer_ != nullptr) tokenizer_->Trim();
  std::shared_ptr<const Vocabulary> unused[2];  // freed after the lock
  const std::lock_guard lock(mutex_);
  unused[0].swap(vocabularies_[0]);
  unused[1].swap(vocabularies_[1]);
}

Result<std::shared_ptr<const Vocabulary>> TextModel::TokenTexts(bool with_marks) const {
  constexpr uint32_t kMaxTokens = (uint32_t{1} << 24) - 1;
  GRAFT_RETURN_IF_ERROR(RequireTokenizer());
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Vocabulary>& vocabulary = vocabularies_[with_marks ? 1 : 0];
  if (vocabulary != nullptr) return vocabulary;
  const uint32_t count = std::min(tokenizer_->size(), model_->vocabulary());
  if (count > kMaxTokens || model_->vocabulary() > kMaxTokens) {
    return Error(StatusCode::kUnsupported,
                 "constrained text needs a vocabulary of at most %u tokens", kMaxTokens);
  }
  const std::span<const uint32_t> ends = model_->end_tokens();
  std::vector<std::string> texts(count);
  for (uint32_t id = 0; id < count; ++id) {
    const bool is_special = tokenizer_->IsSpecial(id);
    if ((is_special && !with_marks) || std::find(ends.begin(), ends.end(), id) != ends.end()) {
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(texts[id], tokenizer_->decoder().InnerText(id));
    if (is_special && !IsReplyMark(texts[id])) texts[id].clear();
  }
  vocabulary = std::make_shared<const Vocabulary>(texts, model_->vocabulary());
  return vocabulary;
}

Result<uint64_t> TextModel::TokensChecksum() const {
  GRAFT_RETURN_IF_ERROR(RequireTokenizer());
  const std::lock_guard lock(mutex_);
  if (tokens_checksum_.has_value()) return *tokens_checksum_;
  std::string all;
  for (uint32_t id = 0; id < tokenizer_->size(); ++id) {
    GRAFT_ASSIGN_OR_RETURN(const std::string text, tokenizer_->decoder().InnerText(id));
    // Sizes between, so that no byte can move from one token to the next.
    all += tokenizer_->IsSpecial(id) ? '*' : ' ';
    all += std::to_string(text.size()) + ' ' + text;
  }
  tokens_checksum_ = schema::Checksum64({reinterpret_cast<const uint8_t*>(all.data()), all.size()});
  return *tokens_checksum_;
}

Status CheckSameTokens(const TextModel& model, const TextModel& draft) {
  if (!draft.model()->is_text_generation() || draft.model()->takes_source()) {
    return Status(StatusCode::kUnsupported, "the draft's model does not generate text by itself");
  }
  GRAFT_ASSIGN_OR_RETURN(const uint64_t own, model.TokensChecksum());
  GRAFT_ASSIGN_OR_RETURN(const uint64_t other, draft.TokensChecksum());
  if (own == other) return OkStatus();
  return Status(StatusCode::kMismatch, "the draft's model has other tokens than the model");
}

Status TextModel::RequireTokenizer() const {
  if (tokenizer_ != nullptr) return OkStatus();
  return Status(StatusCode::kFailedPrecondition, "the model's file has no tokenizer");
}

Result<std::vector<int32_t>> TextModel::Encode(std::string_view text, bool add_special) const {
  GRAFT_RETURN_IF_ERROR(RequireTokenizer());
  return tokenizer_->Encode(text, add_special);
}

Result<TypedIds> TextModel::EncodeTyped(std::string_view first,
                                        std::optional<std::string_view> second, bool add_special,
                                        size_t max_tokens, const std::atomic<bool>* cancel) const {
  GRAFT_RETURN_IF_ERROR(RequireTokenizer());
  return tokenizer_->EncodeTyped(first, second, add_special, max_tokens, cancel);
}

Result<std::string> TextModel::Decode(std::span<const int32_t> ids, bool skip_special) const {
  GRAFT_RETURN_IF_ERROR(RequireTokenizer());
  const uint32_t limit = std::max(tokenizer_->size(), model_->vocabulary());
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<uint32_t>(id) >= limit) {
      return Error(StatusCode::kOutOfRange, "token id %d is not below %u", id, limit);
    }
  }
  return tokenizer_->Decode(ids, skip_special);
}

}  // namespace graft::runtime
