// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/speculation.h"

#include <algorithm>
#include <chrono>

#include "runtime/draft/repeated_text.h"

namespace graft::runtime {
namespace {

// Tokens that were chosen and are computed with a draft. Where states are kept, those that an earlier
// pass accepted are among them: more of them go through without a draft, so that they become fewer.
constexpr size_t kMostChosen = 8;
constexpr size_t kAlways = 7;  // tokens of a draft that is made whatever it costs

uint64_t NowNs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

Speculation::~Speculation() {
  // After a failure: nothing of a draft stays.
  if (end_ < session_.position()) (void)session_.Rewind(end_);
}

Status Speculation::Begin() {
  const std::span<const int32_t> held = session_.tokens();
  tokens_.assign(held.begin(), held.end());
  end_ = session_.position();
  begin_ = end_;
  if (options_.model == nullptr || tokens_.size() < 2) return OkStatus();
  // The last is left to the first draft, which wants logits.
  return CatchUp(std::span(tokens_).first(tokens_.size() - 1), nullptr);
}

// Brings the draft's model to `tokens`, if it can hold them.
Status Speculation::CatchUp(std::span<const int32_t> tokens, const float** logits) {
  Session& model = *options_.model;
  const size_t held = model.KeepPrefix(tokens);
  const std::span<const int32_t> missing = tokens.subspan(held);
  const auto is_unknown = [&](int32_t id) {
    return static_cast<uint32_t>(id) >= model.model().vocabulary();
  };
  if (tokens.size() > model.context_tokens() ||
      std::any_of(missing.begin(), missing.end(), is_unknown)) {
    return OkStatus();
  }
  return model.Append(missing, logits);
}

Status Speculation::AskModel(size_t most, const Sampler& sampler) {
  Session& model = *options_.model;
  const float* logits = nullptr;
  GRAFT_RETURN_IF_ERROR(CatchUp(tokens_, &logits));
  if (logits == nullptr) return OkStatus();
  sampler_.DrawAs(sampler);
  const size_t count = tokens_.size();
  Status status;
  while (draft_.size() < most && !session_.cancelled()) {
    const Result<int32_t> id = sampler_.Choose({logits, model.model().vocabulary()}, tokens_);
    if (!id.ok() || static_cast<uint32_t>(*id) >= session_.model().vocabulary()) break;
    draft_.push_back(*id);
    tokens_.push_back(*id);
    if (draft_.size() == most || tokens_.size() > model.context_tokens()) break;
    status = model.Append({&*id, 1}, &logits);
    if (!status.ok()) break;
  }
  tokens_.resize(count);
  return status;
}

Status Speculation::MakeDraft(size_t most, const Limits& limits) {
  if (most == 0) return OkStatus();
  if (options_.from_text) DraftFromRepetition(tokens_, most, &draft_);
  if (draft_.empty() && options_.model != nullptr)
    GRAFT_RETURN_IF_ERROR(AskModel(most, limits.sampler));
  if (limits.constraint != nullptr) draft_.resize(limits.constraint->CountAllowed(draft_));
  return OkStatus();
}

// How many of `chosen` the draft has next.
size_t Speculation::Foreseen(std::span<const int32_t> chosen) const {
  const auto drafted = std::span(draft_).subspan(row_);
  size_t count = 0;
  while (count < std::min(chosen.size(), drafted.size()) && chosen[count] == drafted[count])
    ++count;
  return count;
}

// Takes `chosen` tokens of the draft and forgets the rest of it. What has to be computed next is
// pass_, of which the first redone_ tokens are known already: going back in states goes far.
void Speculation::LeavePass(size_t accepted) {
  row_ += accepted;
  accepted_ += accepted;
  end_ += accepted;
  if (row_ < draft_.size() && session_.keeps_states()) {
    pass_.insert(pass_.end(), draft_.begin(), draft_.begin() + static_cast<ptrdiff_t>(row_));
  } else {
    begin_ = end_;
    pass_.clear();
  }
  redone_ = pass_.size();
  draft_.clear();
  row_ = 0;
  if (begin_ < session_.position()) (void)session_.Rewind(begin_);
}

Status Speculation::Advance(std::span<const int32_t> chosen, const Limits& limits,
                            const float** logits) {
  const size_t foreseen = Foreseen(chosen);
  tokens_.insert(tokens_.end(), chosen.begin(), chosen.end());
  if (foreseen < chosen.size()) {
    if (pass_.size() == redone_ + 1) pace_.Add(draft_.size(), row_ + foreseen, redone_, pass_ns_);
    LeavePass(foreseen);
    return Compute(chosen.subspan(foreseen), limits, logits);
  }
  row_ += foreseen;
  accepted_ += foreseen;
  end_ += foreseen;
  *logits = rows_ + row_ * session_.model().vocabulary();
  return OkStatus();
}

// Computes pass_ and `chosen` behind it, with a draft if one may pay.
Status Speculation::Compute(std::span<const int32_t> chosen, const Limits& limits,
                            const float** logits) {
  const uint64_t started_ns = NowNs();
  pass_.insert(pass_.end(), chosen.begin(), chosen.end());
  const size_t room =
      session_.context_tokens() -
      std::min<size_t>(session_.context_tokens(), session_.position() + pass_.size());
  const bool is_short = pass_.size() <= std::min(kMostChosen, session_.most_rows());
  if (may_draft_ && is_short && chosen.size() == 1) {
    const size_t most =
        std::min({limits.most, room, kMostDrafted, session_.most_rows() - pass_.size()});
    GRAFT_RETURN_IF_ERROR(
        MakeDraft(options_.always ? std::min(most, kAlways) : pace_.Choose(most), limits));
  }
  const size_t count = pass_.size();
  pass_.insert(pass_.end(), draft_.begin(), draft_.end());
  Status status = session_.AppendSingly(pass_, draft_.size() + 1, &rows_);
  pass_.resize(count);
  if (!status.ok() && !draft_.empty() && status.code() != StatusCode::kCancelled) {
    // Memory or positions that suffice for what was chosen may not for a draft.
    may_draft_ = status.code() != StatusCode::kOutOfMemory;
    draft_.clear();
    status = session_.AppendSingly(pass_, 1, &rows_);
  }
  GRAFT_RETURN_IF_ERROR(status);
  end_ = begin_ + count;
  drafted_ += draft_.size();
  pass_ns_ = NowNs() - started_ns;
  *logits = rows_;
  return OkStatus();
}

Status Speculation::End(std::span<const int32_t> chosen) {
  const std::span<const int32_t> held = chosen.first(chosen.size() - (chosen.empty() ? 0 : 1));
  const size_t foreseen = Foreseen(held);
  LeavePass(foreseen);
  pass_.insert(pass_.end(), held.begin() + static_cast<ptrdiff_t>(foreseen), held.end());
  if (pass_.empty()) return OkStatus();
  GRAFT_RETURN_IF_ERROR(session_.AppendSingly(pass_, 1, &rows_));
  end_ = session_.position();
  return OkStatus();
}

}  // namespace graft::runtime
