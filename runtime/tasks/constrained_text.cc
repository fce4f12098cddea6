// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/constrained_text.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/gbnf.h"
#include "runtime/constrain/json/json_schema.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxForcedBytes = 512;
constexpr size_t kMaxRefused =
    1000;  // tokens that end the trigger wrongly, before one that does not
constexpr float kNever = -std::numeric_limits<float>::infinity();

Result<Grammar> Compile(const ConstraintOptions& options) {
  switch (options.kind) {
    case ConstraintOptions::Kind::kJsonSchema:
      return CompileJsonSchema(options.text, options.in_order);
    case ConstraintOptions::Kind::kRegex:
      return CompileRegex(options.text);
    case ConstraintOptions::Kind::kGbnf:
      return CompileGbnf(options.text);
    case ConstraintOptions::Kind::kChoices:
      return CompileChoices(options.choices);
    case ConstraintOptions::Kind::kNone:
      break;
  }
  return Status(StatusCode::kInternal, "there is no constraint to compile");
}

}  // namespace

Result<std::unique_ptr<ConstrainedText>> ConstrainedText::Create(const TextModel& model,
                                                                 const ConstraintOptions& options) {
  // What is wrong with the constraint is told before the vocabulary is made.
  GRAFT_ASSIGN_OR_RETURN(Grammar grammar, Compile(options));
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Vocabulary> vocabulary, model.TokenTexts());
  return std::unique_ptr<ConstrainedText>(
      new ConstrainedText(model, std::move(vocabulary), std::move(grammar), options.trigger));
}

/// Whether the constraint allows what `id` has behind the trigger, if it ends that.
Result<bool> ConstrainedText::MayFollow(int32_t id) const {
  if (static_cast<uint32_t>(id) >= tokenizer_.size()) return true;
  GRAFT_ASSIGN_OR_RETURN(const std::string text,
                         tokenizer_.decoder().InnerText(static_cast<uint32_t>(id)));
  const std::string whole = tail_ + text;
  const size_t at = whole.find(trigger_);
  if (at == std::string::npos) return true;
  const std::string_view behind = std::string_view(whole).substr(at + trigger_.size());
  return matcher_.CountAllowed(behind) == behind.size();
}

Result<int32_t> ConstrainedText::ChooseBefore(std::span<const float> logits,
                                              std::span<const int32_t> history, Sampler* sampler) {
  bool is_copied = false;
  for (size_t i = 0; i < kMaxRefused; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int32_t id,
                           sampler->Choose(is_copied ? masked_ : logits, history));
    GRAFT_ASSIGN_OR_RETURN(const bool may_follow, MayFollow(id));
    if (may_follow) return id;
    if (!std::exchange(is_copied, true)) masked_.assign(logits.begin(), logits.end());
    masked_[static_cast<size_t>(id)] = kNever;
  }
  return Error(
      StatusCode::kFailedPrecondition,
      "the %zu likeliest tokens all end the trigger with text that the constraint does not "
      "allow",
      kMaxRefused);
}

Result<int32_t> ConstrainedText::Choose(std::span<const float> logits,
                                        std::span<const int32_t> history,
                                        std::span<const uint32_t> end_tokens, Sampler* sampler) {
  if (!is_active_) return ChooseBefore(logits, history, sampler);
  GRAFT_ASSIGN_OR_RETURN(const TokenMask* const mask, matcher_.Mask());
  masked_.assign(logits.size(), kNever);
  bool has_any = false;
  const auto allow = [&](size_t id) {
    if (id >= logits.size()) return;
    masked_[id] = logits[id];
    has_any = true;
  };
  for (size_t word = 0; word < mask->size(); ++word) {
    for (uint64_t bits = (*mask)[word]; bits != 0; bits &= bits - 1) {
      allow(word * 64 + static_cast<size_t>(std::countr_zero(bits)));
    }
  }
  if (matcher_.MayEnd()) {
    for (const uint32_t id : end_tokens) allow(id);
  }
  if (!has_any) {
    return Status(StatusCode::kFailedPrecondition,
                  "no token of the model's vocabulary spells what the constraint asks for next");
  }
  return sampler->Choose(masked_, history);
}

Status ConstrainedText::Append(int32_t id) {
  if (is_active_) {
    if (matcher_.AcceptToken(static_cast<uint32_t>(id))) return OkStatus();
    if (matcher_.overflowed()) {
      return Status(StatusCode::kOutOfRange, "the constraint is too ambiguous to follow");
    }
    return Error(StatusCode::kInternal, "token %d is none that the constraint allows", id);
  }
  if (static_cast<uint32_t>(id) >= tokenizer_.size()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string text,
                         tokenizer_.decoder().InnerText(static_cast<uint32_t>(id)));
  tail_ += text;
  const size_t at = tail_.find(trigger_);
  if (at == std::string::npos) {
    tail_.erase(0, tail_.size() - std::min(tail_.size(), trigger_.size() - 1));
    return OkStatus();
  }
  is_active_ = true;
  const std::string_view behind = std::string_view(tail_).substr(at + trigger_.size());
  if (behind.empty() || matcher_.AcceptText(behind)) return OkStatus();
  return Status(StatusCode::kInternal,
                "what follows the trigger is not what the constraint allows");
}

Result<std::vector<int32_t>> ConstrainedText::Forced() {
  std::vector<int32_t> ids;
  if (!is_active_) return ids;
  bool ends = false;
  const std::string text = matcher_.ForcedText(kMaxForcedBytes, &ends);
  if (text.size() < 2) return ids;
  GRAFT_ASSIGN_OR_RETURN(ids, tokenizer_.Encode(text, /*add_special=*/false));
  size_t count = 0;
  size_t at = 0;
  for (; count < ids.size(); ++count) {
    // A tokenizer may put a space before the first word; then the text is another.
    const std::string_view token = vocabulary_->text(static_cast<uint32_t>(ids[count]));
    if (token.empty() || text.compare(at, token.size(), token) != 0) break;
    at += token.size();
  }
  if (count > 0 && !(ends && at == text.size())) --count;
  ids.resize(count);
  return ids;
}

}  // namespace graft::runtime
