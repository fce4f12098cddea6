// SPDX-License-Identifier: Apache-2.0
// ALiBi: attention with linear biases in the place of positions.
#pragma once

#include <cstdint>
#include <vector>

namespace graft::converter {

/// What each head loses for each position of distance: 2^(-8 i / n) for the largest power of two n
/// among the heads; the others have every other slope of twice as many.
/// Source   Press et al. 2022.
std::vector<float> AlibiSlopes(int64_t heads);

/// The same as MPT has them: of the next power of two every other slope, then those between.
std::vector<float> MptAlibiSlopes(int64_t heads);

/// The nearest bf16, ties to even.
float RoundToBFloat16(float number);

}  // namespace graft::converter
