// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding as config.json describes it, in the spellings of transformers 4 and 5.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/json.h"
#include "schema/result.h"

namespace graft::converter {

struct RopeFrequencies {
  std::vector<float> inverse;  ///< rotary_dim / 2 of them, radians for each position.
  float magnitude = 1.0f;      ///< Factor of sine and cosine.
};

/// Reads rope_parameters (transformers 5), or rope_theta and rope_scaling (transformers 4), for
/// heads of `head_dim`. Knows the types default, linear and llama3. Errors   kUnsupported: another
/// type. kCorrupt: a number missing or out of its range. Both name the key. Source   Su et al. 2021
/// (RoPE); Chen et al. 2023 (linear); the Llama 3.1 release (llama3).
Result<RopeFrequencies> ReadRope(const JsonValue& config, int64_t head_dim);

}  // namespace graft::converter
