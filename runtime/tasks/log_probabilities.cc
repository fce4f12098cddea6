// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace graft::runtime {

void FindLogProbabilities(std::span<const float> logits, int32_t id, size_t count,
                          TokenLogProbabilities* found) {
  found->id = id;
  found->ids.clear();
  found->values.clear();
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  float top = kNever;
  for (const float logit : logits) top = logit > top ? logit : top;
  double sum = 0;
  for (const float logit : logits) {
    if (logit > kNever) sum += std::exp(static_cast<double>(logit) - static_cast<double>(top));
  }
  const double total = static_cast<double>(top) + std::log(sum);
  const auto of = [&](int32_t token) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(token)]) - total);
  };
  found->own = of(id);
  const auto is_before = [&](int32_t a, int32_t b) {
    const float of_a = logits[static_cast<size_t>(a)];
    const float of_b = logits[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  };
  // A heap whose first is the least of the likeliest so far.
  for (size_t i = 0; i < logits.size() && count > 0; ++i) {
    if (!(logits[i] > kNever)) continue;  // true for NaN
    const auto token = static_cast<int32_t>(i);
    if (found->ids.size() == count) {
      if (!is_before(token, found->ids.front())) continue;
      std::pop_heap(found->ids.begin(), found->ids.end(), is_before);
      found->ids.pop_back();
    }
    found->ids.push_back(token);
    std::push_heap(found->ids.begin(), found->ids.end(), is_before);
  }
  std::sort_heap(found->ids.begin(), found->ids.end(), is_before);
  for (const int32_t token : found->ids) found->values.push_back(of(token));
}

}  // namespace graft::runtime
