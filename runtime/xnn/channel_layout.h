// SPDX-License-Identifier: Apache-2.0
// Whether weights with a scale for each output are packed in tiles that kernels of ours read.
#pragma once

#include "runtime/kernels/products/channel_product.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/result.h"

namespace graft::runtime {

/// How `weights`, kInt8Channel or kInt4Channel, are packed on this CPU; of 0 rows where it is not
/// as channel_product.h says, or for one that PrefersChannelProduct does not take. `name` is the
/// tensor's, for messages.
/// Errors   kOutOfMemory.
/// Cost     the first time, packs 16 rows of 64 columns.
Result<BlockTile> FindChannelTile(const char* name, const LinearWeights& weights);

}  // namespace graft::runtime
