// SPDX-License-Identifier: Apache-2.0
// Sampler: chooses the next token from a model's logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/base/random.h"
#include "schema/result.h"

namespace graft::runtime {

/// Something added to a token's logit.
struct TokenBias {
  int32_t id = 0;
  float bias = 0;  ///< minus infinity: it never comes
};

/// The filters apply in the order of the fields.
struct SamplingOptions {
  std::vector<TokenBias> biases;
  float repeat_penalty = 0;    ///< 0 or 1: off; > 1 makes the tokens of the window less likely
  uint32_t repeat_window = 0;  ///< how many tokens back; 0: 64
  /// Taken off the logits of the tokens of the history from `generated_from` on: once, and once for
  /// each time that they are there.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  size_t generated_from = 0;
  float temperature = 0;  ///< 0: the likeliest token
  uint32_t top_k = 0;     ///< only the k likeliest; 0: all
  float top_p = 0;        ///< only the likeliest that together reach p; 0 or 1: all
  float min_p = 0;        ///< only those at least p times as likely as the likeliest; 0: all
  uint64_t seed = 0;
};

/// Errors   kInvalidArgument, naming the option and its range.
Status CheckSamplingOptions(const SamplingOptions& options);

/// One thread at a time. Equal options, logits and history give equal tokens on every machine: ties
/// go to the lower id, sums have a fixed order, and the exponential is our own.
class Sampler {
 public:
  /// Requires options that passed CheckSamplingOptions.
  explicit Sampler(const SamplingOptions& options);

  /// logits [vocabulary], not changed. history: the tokens so far, the latest last. allowed: a bit
  /// for each token that may come, token 0 in the lowest of the first word; empty: all may come.
  /// Errors   kInternal: no logit of these is a number above minus infinity.
  /// Cost     a pass over the vocabulary; with top_p or min_p and no top_k, a partial sort.
  Result<int32_t> Choose(std::span<const float> logits, std::span<const int32_t> history,
                         std::span<const uint64_t> allowed = {});

  /// Draws from now on the random numbers that `other` is going to draw.
  void DrawAs(const Sampler& other) { random_ = other.random_; }

 private:
  struct Candidate {
    double weight;
    float logit;
    int32_t id;
  };

  void PenalizeRepeated(std::span<const int32_t> history);
  void PenalizeGenerated(std::span<const int32_t> history);
  std::span<const float> Penalize(std::span<const float> logits, std::span<const int32_t> history);
  size_t KeepTopK(std::span<const float> logits, std::span<const uint64_t> allowed);
  size_t KeepTopP(size_t count);

  SamplingOptions options_;
  RandomSource random_;
  std::vector<float> penalized_;
  std::vector<Candidate> candidates_;
  std::vector<int32_t> seen_;
};

/// e^x for x <= 0 within 1e-15 of the true value relative to it; 0 below -700. Sums and products
/// only, so that the result does not depend on the machine's library.
double PortableExp(double x);

}  // namespace graft::runtime
