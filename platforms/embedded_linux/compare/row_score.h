// SPDX-License-Identifier: Apache-2.0
// Two models' predictions of one token, held against each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace graft_run {

/// The reference's prediction at one position, kept while other models are held against it.
struct Prediction {
  std::vector<double> log_probabilities;
  size_t top = 0;  ///< the likeliest token, the first of equals
};

/// Log-probabilities of softmax(logits), in double.
/// Shapes   logits: [vocabulary]
void Predict(const float* logits, size_t vocabulary, Prediction* prediction);

/// What a model's prediction costs where the reference's was due.
struct RowScore {
  double kl = 0;    ///< Kullback-Leibler divergence from the reference to the model, in nats
  double loss = 0;  ///< -log of the probability that the model gives to the text's next token
  bool same_top = false;
};

/// Shapes   logits: [vocabulary], of the reference's vocabulary.
RowScore ScoreRow(const Prediction& reference, const float* logits, size_t target);

}  // namespace graft_run
