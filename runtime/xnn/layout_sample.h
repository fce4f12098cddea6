// SPDX-License-Identifier: Apache-2.0
// A hash that tells two packed layouts apart even if their sizes agree: that of a small matrix of
// known numbers, packed on this CPU.
#pragma once

#include "runtime/xnn/linear_weights.h"
#include "schema/container.h"
#include "schema/result.h"

namespace graft::runtime {

/// Equal for weights of equal format and block size that the same kernels read in the same way.
/// Errors   those of FindLayout and PackRows.
Result<schema::Hash128> HashLayout(const char* name, const LinearWeights& weights);

}  // namespace graft::runtime
