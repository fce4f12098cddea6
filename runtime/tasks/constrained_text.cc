// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/constrained_text.h"

#include <algorithm>
#include <utility>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/gbnf.h"
#include "runtime/constrain/json/json_schema.h"
#include "runtime/tools/tool_grammar.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxForcedBytes = 512;
// Tokens that end the trigger wrongly, before one that does not.
constexpr size_t kMaxRefused = 1000;
// Tokens behind which the text could not end in time, before one of the shortest end is taken.
constexpr size_t kMaxUnfit = 8;
constexpr size_t kSeldom = 8;
// What a call without a mark begins with.
constexpr std::string_view kBareCall = "{\"name\"";

size_t WordsFor(size_t tokens) { return (tokens + 63) / 64; }

/// The field of graft_generate_options that has the constraint.
const char* FieldOf(ConstraintOptions::Kind kind) {
  switch (kind) {
    case ConstraintOptions::Kind::kJsonSchema:
      return "json_schema";
    case ConstraintOptions::Kind::kRegex:
      return "regex";
    case ConstraintOptions::Kind::kGbnf:
      return "grammar";
    case ConstraintOptions::Kind::kChoices:
      return "choices";
    default:
      return "tools";
  }
}

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
    case ConstraintOptions::Kind::kTools:
      return CompileTools(*options.tools, *options.format, options.in_order, options.text);
    case ConstraintOptions::Kind::kNone:
      break;
  }
  return Status(StatusCode::kInternal, "there is no constraint to compile");
}

}  // namespace

Result<std::unique_ptr<ConstrainedText>> ConstrainedText::Create(const TextModel& model,
                                                                 const ConstraintOptions& options) {
  // What is wrong with the constraint is told before the vocabulary is made.
  Result<Grammar> grammar = Compile(options);
  if (!grammar.ok()) return grammar.status().WithContext(FieldOf(options.kind));
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<const Vocabulary> vocabulary,
                         model.TokenTexts(options.kind == ConstraintOptions::Kind::kTools));
  return std::unique_ptr<ConstrainedText>(
      new ConstrainedText(model, std::move(vocabulary), *std::move(grammar), options));
}

ConstrainedText::ConstrainedText(const TextModel& model,
                                 std::shared_ptr<const Vocabulary> vocabulary, Grammar grammar,
                                 const ConstraintOptions& options)
    : tokenizer_(*model.tokenizer()),
      vocabulary_(std::move(vocabulary)),
      matcher_(std::move(grammar), *vocabulary_),
      trigger_(options.trigger) {
  if (options.kind == ConstraintOptions::Kind::kTools) {
    const ReplyFormat& format = *options.format;
    if (options.text.empty()) {
      trigger_ = format.open;
      first_ = format.is_bare ? kBareCall : std::string_view();
      think_open_ = format.think_open;
      think_close_ = format.think_close;
      is_thinking_ = options.is_thinking;
      repeats_ = true;
    } else if (trigger_.empty() && options.is_thinking) {
      trigger_ = format.think_close;
    }
  }
  is_active_ = trigger_.empty();
  tail_bytes_ = std::max({trigger_.size(), first_.size(), think_open_.size(), think_close_.size()});
}

/// Where in `text`, the tail and what is new, the constraint begins to hold; npos: nowhere.
/// *is_thinking is brought up to date; *seen: what stands before it is done with.
size_t ConstrainedText::FindStart(std::string_view text, bool* is_thinking, size_t* seen) const {
  *seen = 0;
  for (;;) {
    if (*is_thinking) {
      const size_t close = text.find(think_close_, *seen);
      if (close == std::string_view::npos) return close;
      *seen = close + think_close_.size();
      *is_thinking = false;
    }
    const size_t at = text.find(trigger_, *seen);
    const size_t think =
        think_open_.empty() ? std::string_view::npos : text.find(think_open_, *seen);
    if (think < at) {
      *seen = think + think_open_.size();
      *is_thinking = true;
      continue;
    }
    if (at != std::string_view::npos) return at + trigger_.size();
    const size_t first = text.find_first_not_of(" \t\r\n", *seen);
    const bool is_first = !first_.empty() && first != std::string_view::npos &&
                          (is_whole_ || *seen > 0) && text.substr(first).starts_with(first_);
    return is_first ? first : std::string_view::npos;
  }
}

void ConstrainedText::WaitAgain() {
  matcher_.Restart();
  is_active_ = false;
  tail_.clear();
  is_whole_ = false;
}

/// Whether the constraint allows what `id` has behind the trigger, if it ends that.
Result<bool> ConstrainedText::MayFollow(int32_t id) const {
  if (static_cast<uint32_t>(id) >= tokenizer_.size()) return true;
  GRAFT_ASSIGN_OR_RETURN(const std::string text,
                         tokenizer_.decoder().InnerText(static_cast<uint32_t>(id)));
  const std::string whole = tail_ + text;
  bool is_thinking = is_thinking_;
  size_t seen = 0;
  const size_t start = FindStart(whole, &is_thinking, &seen);
  if (start == std::string::npos) return true;
  const std::string_view behind = std::string_view(whole).substr(start);
  return matcher_.CountAllowed(behind) == behind.size();
}

Result<int32_t> ConstrainedText::ChooseBefore(std::span<const float> logits,
                                              std::span<const int32_t> history, Sampler* sampler) {
  allowed_.assign(WordsFor(logits.size()), ~uint64_t{0});
  for (size_t i = 0; i < kMaxRefused; ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int32_t id, sampler->Choose(logits, history, allowed_));
    GRAFT_ASSIGN_OR_RETURN(const bool may_follow, MayFollow(id));
    if (may_follow) return id;
    RemoveToken(&allowed_, static_cast<uint32_t>(id));
  }
  return Error(
      StatusCode::kFailedPrecondition,
      "the %zu likeliest tokens all end the trigger with text that the constraint does not "
      "allow",
      kMaxRefused);
}

Result<int32_t> ConstrainedText::Choose(std::span<const float> logits,
                                        std::span<const int32_t> history,
                                        std::span<const uint32_t> end_tokens, size_t most,
                                        Sampler* sampler) {
  if (!is_active_) return ChooseBefore(logits, history, sampler);
  GRAFT_ASSIGN_OR_RETURN(const TokenMask* const mask, matcher_.Mask());
  allowed_.assign(WordsFor(logits.size()), 0);
  std::copy_n(mask->begin(), std::min(mask->size(), allowed_.size()), allowed_.begin());
  if (matcher_.MayEnd()) {
    for (const uint32_t id : end_tokens) {
      if (id < logits.size()) AddToken(&allowed_, id);
    }
  }
  if (std::ranges::all_of(allowed_, [](uint64_t bits) { return bits == 0; })) {
    return Status(StatusCode::kFailedPrecondition,
                  "no token of the model's vocabulary spells what the constraint asks for next");
  }
  return ChooseWithin(logits, history, end_tokens, most, sampler);
}

/// Of allowed_. The text can end within `most` tokens, if it could.
Result<int32_t> ConstrainedText::ChooseWithin(std::span<const float> logits,
                                              std::span<const int32_t> history,
                                              std::span<const uint32_t> end_tokens, size_t most,
                                              Sampler* sampler) {
  int32_t last = 0;
  for (size_t i = 0;; ++i) {
    Result<int32_t> id = sampler->Choose(logits, history, allowed_);
    if (id.ok()) {
      const auto token = static_cast<uint32_t>(*id);
      if (std::ranges::find(end_tokens, token) != end_tokens.end()) return id;
      const bool is_planned = !plan_.empty() && plan_.back() == *id && plan_.size() <= most;
      if (most == 0 || is_planned || most > unfit_) return id;
      if (matcher_.CanEnd(vocabulary_->text(token), most - 1)) return id;
      if (plan_.empty() && !matcher_.CanEnd({}, most)) {  // it is cut off in any case
        unfit_ = most > kSeldom ? most - kSeldom : 1;     // when to look again
        return id;
      }
    }
    if (i == 0 && !id.ok()) return id;
    if (plan_.empty()) plan_ = matcher_.PlanEnd();
    if (!id.ok() || i == kMaxUnfit || plan_.size() == most) {
      if (!plan_.empty()) return plan_.back();
      if (matcher_.MayEnd() && !end_tokens.empty()) return static_cast<int32_t>(end_tokens[0]);
      return id.ok() ? id : last;
    }
    last = *id;
    RemoveToken(&allowed_, static_cast<uint32_t>(*id));
  }
}

Status ConstrainedText::Append(int32_t id) {
  if (!plan_.empty() && plan_.back() == id) {
    plan_.pop_back();
  } else {
    plan_.clear();
  }
  if (is_active_) {
    if (matcher_.AcceptToken(static_cast<uint32_t>(id))) {
      if (repeats_ && matcher_.MustEnd()) WaitAgain();
      return OkStatus();
    }
    if (matcher_.overflowed()) {
      return Status(StatusCode::kOutOfRange, "the constraint is too ambiguous to follow");
    }
    return Error(StatusCode::kInternal, "token %d is none that the constraint allows", id);
  }
  if (static_cast<uint32_t>(id) >= tokenizer_.size()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const std::string text,
                         tokenizer_.decoder().InnerText(static_cast<uint32_t>(id)));
  tail_ += text;
  size_t seen = 0;
  const size_t start = FindStart(tail_, &is_thinking_, &seen);
  if (start == std::string::npos) {
    // The first text behind thinking counts as the text's first.
    const size_t kept = std::min(tail_.size() - seen, tail_bytes_ - 1);
    is_whole_ = (is_whole_ || seen > 0) && kept == tail_.size() - seen;
    tail_.erase(0, tail_.size() - kept);
    return OkStatus();
  }
  is_active_ = true;
  const std::string_view behind = std::string_view(tail_).substr(start);
  if (behind.empty() || matcher_.AcceptText(behind)) return OkStatus();
  return Status(StatusCode::kInternal,
                "what follows the trigger is not what the constraint allows");
}

size_t ConstrainedText::CountAllowed(std::span<const int32_t> ids) const {
  if (!is_active_) return ids.size();
  std::string text;
  std::vector<size_t> ends;
  for (const int32_t id : ids) {
    const std::string_view token = vocabulary_->text(static_cast<uint32_t>(id));
    if (token.empty()) break;
    text += token;
    ends.push_back(text.size());
  }
  const size_t allowed = matcher_.CountAllowed(text);
  return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), allowed) - ends.begin());
}

Result<std::vector<int32_t>> ConstrainedText::Forced(size_t most) {
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
  // The tokenizer may cut it into more tokens than there is room for.
  at = 0;
  for (const int32_t id : ids) at += vocabulary_->text(static_cast<uint32_t>(id)).size();
  const bool fits =
      count < most && matcher_.CanEnd(std::string_view(text).substr(0, at), most - count);
  if (!fits && matcher_.CanEnd({}, most)) ids.clear();
  return ids;
}

}  // namespace graft::runtime
