// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/row_score.h"

#include <algorithm>
#include <cmath>

namespace graft_run {
namespace {

struct Softmax {
  size_t top;
  double log_sum;  ///< log of the sum of exp(logits)
};

Softmax SoftmaxOf(const float* logits, size_t vocabulary) {
  const float* top = std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (size_t i = 0; i < vocabulary; ++i) {
    sum += std::exp(static_cast<double>(logits[i]) - static_cast<double>(*top));
  }
  return {static_cast<size_t>(top - logits), static_cast<double>(*top) + std::log(sum)};
}

}  // namespace

void Predict(const float* logits, size_t vocabulary, Prediction* prediction) {
  const Softmax softmax = SoftmaxOf(logits, vocabulary);
  prediction->top = softmax.top;
  prediction->log_probabilities.resize(vocabulary);
  for (size_t i = 0; i < vocabulary; ++i) {
    prediction->log_probabilities[i] = static_cast<double>(logits[i]) - softmax.log_sum;
  }
}

RowScore ScoreRow(const Prediction& reference, const float* logits, size_t target) {
  const std::vector<double>& expected = reference.log_probabilities;
  const Softmax softmax = SoftmaxOf(logits, expected.size());
  double kl = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double probability = std::exp(expected[i]);
    // A probability of 0 adds nothing, whatever the model says there.
    if (probability > 0) {
      kl += probability * (expected[i] - (static_cast<double>(logits[i]) - softmax.log_sum));
    }
  }
  // What rounding makes of equal rows may lie a little below 0.
  return {std::max(kl, 0.0), softmax.log_sum - static_cast<double>(logits[target]),
          softmax.top == reference.top};
}

}  // namespace graft_run
