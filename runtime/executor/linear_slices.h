// SPDX-License-Identifier: Apache-2.0
// LinearSlices: how the output rows of a linear op are divided between a team's workers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/xnn/linear_weights.h"

namespace graft::runtime {

/// Slices of `rows` output rows each; the last takes the rest.
struct LinearSlices {
  size_t rows = 0;
  size_t count = 1;
};

/// group_bytes: packed, of all linears that run together with this one.
LinearSlices SlicesOf(const LinearWeights& weights, uint64_t group_bytes, unsigned workers);

}  // namespace graft::runtime
