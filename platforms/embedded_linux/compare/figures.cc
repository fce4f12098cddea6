// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/figures.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace graft_run {
namespace {

constexpr uint64_t kFirstRange = 16;

size_t RangeOf(uint64_t position) {
  return position < kFirstRange ? 0 : static_cast<size_t>(std::bit_width(position / kFirstRange));
}

double Share(uint64_t part, uint64_t all) {
  return static_cast<double>(part) / static_cast<double>(all);
}

/// The number that `share` of the sorted numbers do not exceed.
double Percentile(const std::vector<float>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return static_cast<double>(sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1]);
}

}  // namespace

void TextScores::Add(uint64_t position, const RowScore& score, double reference_loss) {
  const size_t range = RangeOf(position);
  if (range >= ranges_.size()) ranges_.resize(range + 1);
  for (Sums* sums : {&all_, &ranges_[range]}) {
    ++sums->tokens;
    sums->same_top += score.same_top ? 1 : 0;
    sums->kl += score.kl;
    sums->loss += score.loss;
    sums->reference_loss += reference_loss;
  }
  squared_kl_ += score.kl * score.kl;
  kls_.push_back(static_cast<float>(score.kl));
}

TextFigures TextScores::Summarize() const {
  TextFigures figures;
  if (all_.tokens == 0) return figures;
  const auto tokens = static_cast<double>(all_.tokens);
  figures.tokens = all_.tokens;
  figures.mean_kl = all_.kl / tokens;
  const double variance = std::max(squared_kl_ / tokens - figures.mean_kl * figures.mean_kl, 0.0);
  figures.kl_standard_error = std::sqrt(variance / tokens);
  std::vector<float> sorted = kls_;
  std::sort(sorted.begin(), sorted.end());
  figures.median_kl = Percentile(sorted, 0.5);
  figures.kl_99 = Percentile(sorted, 0.99);
  figures.max_kl = static_cast<double>(sorted.back());
  figures.same_top = Share(all_.same_top, all_.tokens);
  figures.perplexity = std::exp(all_.loss / tokens);
  figures.reference_perplexity = std::exp(all_.reference_loss / tokens);
  for (size_t i = 0; i < ranges_.size(); ++i) {
    const Sums& sums = ranges_[i];
    if (sums.tokens == 0) continue;
    const auto count = static_cast<double>(sums.tokens);
    figures.ranges.push_back({i == 0 ? 1 : kFirstRange << (i - 1), kFirstRange << i, sums.tokens,
                              sums.kl / count, Share(sums.same_top, sums.tokens),
                              std::exp(sums.loss / count), std::exp(sums.reference_loss / count)});
  }
  return figures;
}

GateFigures GateOf(const std::vector<PromptFigures>& prompts) {
  GateFigures gate;
  for (const PromptFigures& figures : prompts) {
    const Behaviour& expected = figures.reference.behaviour;
    const Behaviour& found = figures.answer.behaviour;
    gate.reference_ended += expected.ended ? 1 : 0;
    gate.ended += expected.ended && found.ended ? 1 : 0;
    gate.reference_closed_thinking += expected.closed_thinking ? 1 : 0;
    gate.closed_thinking +=
        expected.closed_thinking && (found.closed_thinking || !found.opened_thinking) ? 1 : 0;
    gate.reference_json += expected.is_json ? 1 : 0;
    gate.json += expected.is_json && found.is_json ? 1 : 0;
    gate.equal += figures.is_equal ? 1 : 0;
  }
  return gate;
}

}  // namespace graft_run
