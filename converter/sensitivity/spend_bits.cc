// SPDX-License-Identifier: Apache-2.0
#include "converter/sensitivity/spend_bits.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace graft::converter {
namespace {

// Matrices that are tried in each way: this many at most, each at least such a part of the whole.
constexpr size_t kMostLarge = 3;
constexpr int64_t kLargePart = 32;

using Choices = std::vector<StorageChoice>;

/// Another choice for one matrix, which saves `saved` for `bytes` more.
struct Step {
  size_t matrix = 0, choice = 0;
  int64_t bytes = 0;
  double saved = 0.0;
};

// The smallest; of equal sizes the better.
size_t SmallestOf(const Choices& choices) {
  const auto smallest = std::min_element(
      choices.begin(), choices.end(), [](const StorageChoice& a, const StorageChoice& b) {
        return std::tuple(a.bytes, a.divergence) < std::tuple(b.bytes, b.divergence);
      });
  return static_cast<size_t>(smallest - choices.begin());
}

// Each matrix's steps from its smallest choice on. Choices that save less per byte than going past
// them are left out, so that a matrix's steps come in their order when all are sorted.
void AddSteps(size_t matrix, const Choices& choices, std::vector<Step>* steps) {
  for (size_t now = SmallestOf(choices);;) {
    Step best;
    for (size_t next = 0; next < choices.size(); ++next) {
      const Step step{matrix, next, choices[next].bytes - choices[now].bytes,
                      choices[now].divergence - choices[next].divergence};
      if (step.bytes <= 0 || step.saved <= 0) continue;
      const double gain = step.saved * static_cast<double>(best.bytes);
      const double best_gain = best.saved * static_cast<double>(step.bytes);
      // Of equal ones the larger, which leaves none on the way.
      const bool is_better = gain > best_gain || (gain == best_gain && step.bytes > best.bytes);
      if (best.bytes == 0 || is_better) best = step;
    }
    if (best.bytes == 0) return;
    steps->push_back(best);
    now = best.choice;
  }
}

/// `fixed`: for each matrix a choice that it has to take, or -1.
Spending SpendRest(std::span<const Choices> matrices, std::span<const int> fixed, int64_t bytes) {
  Spending spending;
  std::vector<Step> steps;
  const auto take = [&](size_t matrix, size_t choice, int sign) {
    spending.bytes += sign * matrices[matrix][choice].bytes;
    spending.divergence += sign * matrices[matrix][choice].divergence;
  };
  for (size_t m = 0; m < matrices.size(); ++m) {
    const size_t choice = fixed[m] >= 0 ? static_cast<size_t>(fixed[m]) : SmallestOf(matrices[m]);
    if (fixed[m] < 0) AddSteps(m, matrices[m], &steps);
    spending.chosen.push_back(choice);
    take(m, choice, 1);
  }
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
    return a.saved / static_cast<double>(a.bytes) > b.saved / static_cast<double>(b.bytes);
  });
  std::vector<bool> stopped(matrices.size());
  for (const Step& step : steps) {
    if (stopped[step.matrix]) continue;
    stopped[step.matrix] = spending.bytes + step.bytes > bytes;
    if (stopped[step.matrix]) continue;
    take(step.matrix, spending.chosen[step.matrix], -1);
    take(step.matrix, step.choice, 1);
    spending.chosen[step.matrix] = step.choice;
  }
  return spending;
}

// The largest first.
std::vector<size_t> LargeOf(std::span<const Choices> matrices, int64_t bytes) {
  std::vector<size_t> order(matrices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return matrices[a].back().bytes > matrices[b].back().bytes;
  });
  std::erase_if(order, [&](size_t m) { return matrices[m].back().bytes < bytes / kLargePart; });
  order.resize(std::min(order.size(), kMostLarge));
  return order;
}

}  // namespace

Spending Spend(std::span<const std::vector<StorageChoice>> matrices, int64_t bytes) {
  const std::vector<size_t> large = LargeOf(matrices, bytes);
  std::vector<int> fixed(matrices.size(), -1);
  Spending best = SpendRest(matrices, fixed, bytes);
  for (const size_t m : large) fixed[m] = 0;
  // Counts through all their choices, as a number of so many digits.
  for (size_t digit = 0; !large.empty() && digit < large.size();) {
    Spending other = SpendRest(matrices, fixed, bytes);
    if (other.bytes <= bytes && other.divergence < best.divergence) best = std::move(other);
    for (digit = 0; digit < large.size(); ++digit) {
      int& choice = fixed[large[digit]];
      if (++choice < static_cast<int>(matrices[large[digit]].size())) break;
      choice = 0;
    }
  }
  return best;
}

}  // namespace graft::converter
