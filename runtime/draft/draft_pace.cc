// SPDX-License-Identifier: Apache-2.0
#include "runtime/draft/draft_pace.h"

#include <algorithm>

namespace graft::runtime {
namespace {

// Kernels take rows by fours: a draft and the token before it fill them.
constexpr std::array<size_t, 4> kLengths = {3, 7, 11, 15};
constexpr size_t kPassesBefore = 2;    // plain ones, before the first draft
constexpr size_t kPassesBetween = 64;  // drafts, after which one pass measures plain decoding again
constexpr double kFirstShare = 0.3;    // of a plain pass, that a row more is taken to cost
constexpr double kGuess = 0.8;         // of tokens drafted that are right, where nothing is known
constexpr double kWorthIt = 1.04;
constexpr double kAllowedShare = 0.01;  // of the time, that drafts may lose
constexpr double kMostBalance = 8;      // tokens

}  // namespace

// Tokens that a pass gives: the drafted ones up to the first that is wrong, and one more.
double DraftPace::TokensOf(size_t drafted) const {
  double tokens = 1;
  double likely = 1;
  for (size_t i = 0; i < drafted; ++i) tokens += likely *= right_;
  return tokens;
}

double DraftPace::Times::least() const {
  return *std::min_element(ns_.begin(),
                           ns_.begin() + static_cast<ptrdiff_t>(std::min(count_, ns_.size())));
}

DraftPace::DraftPace() : right_(kGuess) {}

// Measured, or by the longest draft that was. Few measurements do not say that it takes long.
double DraftPace::PassNs(size_t drafted) const {
  const double plain_ns = plain_.least();
  double share = kFirstShare;
  for (size_t i = 1; i <= kMostDrafted; ++i) {
    if (!drafts_[i].is_certain()) continue;
    share =
        std::clamp((drafts_[i].least() / plain_ns - 1) / static_cast<double>(i), 0.0, kFirstShare);
  }
  const double guess_ns = plain_ns * (1 + share * static_cast<double>(drafted));
  const Times& times = drafts_[drafted];
  if (times.is_certain()) return times.least();
  return times.is_known() ? std::min(times.least(), guess_ns) : guess_ns;
}

size_t DraftPace::Choose(size_t most) const {
  if (most == 0 || plain_passes_ < kPassesBefore || since_plain_ >= kPassesBetween) return 0;
  size_t best = 0;
  const double plain_ns = plain_.least();
  double best_ns = plain_ns / kWorthIt;  // of a token
  const auto consider = [&](size_t drafted) {
    const double pass_ns = PassNs(drafted);
    const double token_ns = pass_ns / TokensOf(drafted);
    // A pass whose draft is wrong has to be affordable.
    if (token_ns >= best_ns || pass_ns - plain_ns > balance_ns_) return;
    best = drafted;
    best_ns = token_ns;
  };
  for (const size_t length : kLengths) {
    if (length <= most) consider(length);
  }
  if (best == 0 && most < kLengths[0]) consider(most);
  return best;
}

void DraftPace::Add(size_t drafted, size_t accepted, size_t redone, uint64_t pass_ns) {
  const bool is_plain = drafted == 0 && redone == 0;
  const bool is_measure = is_plain && (!last_drafted_ || plain_passes_ < kPassesBefore);
  Times& times = is_measure ? plain_ : drafted == 0 ? behind_ : drafts_[drafted];
  times.Add(static_cast<double>(pass_ns));
  const double plain_ns = plain_.least();
  const double taken_ns = times.least();
  if (!is_measure) {
    balance_ns_ += plain_ns * static_cast<double>(1 + accepted) - taken_ns;
  } else if (++plain_passes_ == kPassesBefore) {
    balance_ns_ = plain_ns;
  }
  balance_ns_ = std::min(balance_ns_ + kAllowedShare * taken_ns, kMostBalance * plain_ns);
  since_plain_ = is_measure ? 0 : since_plain_ + 1;
  last_drafted_ = !is_plain;
  if (drafted == 0) right_ += 0.01 * (kGuess - right_);  // the text may have become another
  for (size_t i = 0; i < accepted; ++i) right_ += 0.1 * (1 - right_);
  if (accepted < drafted) right_ -= 0.15 * right_;
}

}  // namespace graft::runtime
