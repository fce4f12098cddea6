// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::runtime {

/// How likely a token was to the model itself, as natural logarithms.
struct TokenLogProbabilities {
  int32_t id = -1;
  float own = 0;             ///< NaN: not computed
  std::vector<int32_t> ids;  ///< the likeliest, the likeliest first; ties: the lower id
  std::vector<float> values;
};

/// Of token `id` and the `count` likeliest.
/// Cost     an exponential for each logit.
void FindLogProbabilities(std::span<const float> logits, int32_t id, size_t count,
                          TokenLogProbabilities* found);

}  // namespace graft::runtime
