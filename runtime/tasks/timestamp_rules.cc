// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/timestamp_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace graft::runtime {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void Hide(std::span<float> logits, size_t begin, size_t end) {
  begin = std::min(begin, logits.size());
  end = std::min(std::max(begin, end), logits.size());
  std::fill(logits.begin() + static_cast<ptrdiff_t>(begin),
            logits.begin() + static_cast<ptrdiff_t>(end), kMinusInfinity);
}

float Largest(std::span<const float> logits) {
  return logits.empty() ? kMinusInfinity : *std::max_element(logits.begin(), logits.end());
}

}  // namespace

void TimestampRules::Apply(std::span<const int32_t> generated, std::span<float> logits) const {
  if (no_timestamps_ >= 0)
    Hide(logits, static_cast<size_t>(no_timestamps_), static_cast<size_t>(no_timestamps_) + 1);
  const size_t count = generated.size();
  const bool last_is_time = count > 0 && IsTime(generated[count - 1]);
  const bool before_is_time = count < 2 || IsTime(generated[count - 2]);
  if (last_is_time && before_is_time) Hide(logits, first_, logits.size());
  if (last_is_time && !before_is_time) {  // another time, or the end
    const uint32_t words = end_tokens_.empty() ? first_ : std::min(first_, end_tokens_[0]);
    Hide(logits, 0, words);
  }
  for (size_t i = count; i-- > 0;) {
    if (!IsTime(generated[i])) continue;
    const bool may_repeat = last_is_time && !before_is_time;
    Hide(logits, first_, static_cast<size_t>(generated[i]) + (may_repeat ? 0 : 1));
    break;
  }
  if (count == 0) {
    Hide(logits, 0, first_);
    Hide(logits, size_t{first_} + most_initial_ + 1, logits.size());
  }
  // A time it is, if times together are likelier than any word.
  if (first_ >= logits.size()) return;
  const std::span<const float> times = logits.subspan(first_);
  const float top = Largest(times);
  if (top == kMinusInfinity) return;
  double sum = 0.0;
  for (const float logit : times) sum += std::exp(static_cast<double>(logit - top));
  if (static_cast<double>(top) + std::log(sum) > static_cast<double>(Largest(logits.first(first_))))
    Hide(logits, 0, first_);
}

}  // namespace graft::runtime
