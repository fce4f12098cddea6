// SPDX-License-Identifier: Apache-2.0
// Where codes lie in packed weights, and whether kernels of ours read those with a scale for each
// output.
#pragma once

#include "runtime/kernels/products/channel_product.h"
#include "runtime/xnn/linear_weights.h"
#include "schema/result.h"

namespace graft::runtime {

/// Where codes lie in tiles of packed weights: each row has `depth` bytes of a group of neighbouring
/// columns, byte j of int4 holding columns j (low) and j + depth (high) with the top bit of each
/// flipped. Of rows with one scale a tile begins with an int32 for each, the sum of its codes times
/// `sum_factor`, and ends with their scales and biases; block_packing.h tells of blocks.
struct CodeTile {
  size_t rows = 0;  ///< 0: the codes lie otherwise
  size_t depth = 0;
  int32_t sum_factor = 0;
};

/// Where the codes of `weights`, of any format, lie packed on this CPU. `name` is the tensor's, for
/// messages.
/// Errors   kOutOfMemory.
/// Cost     the first time for a format, packs 64 rows of 64 columns.
Result<CodeTile> FindCodeTile(const char* name, const LinearWeights& weights);

/// How `weights`, kInt8Channel or kInt4Channel, are packed on this CPU; of 0 rows where it is not
/// as channel_product.h says, or for one that PrefersChannelProduct does not take. `name` is the
/// tensor's, for messages.
/// Errors   kOutOfMemory.
/// Cost     that of FindCodeTile.
Result<BlockTile> FindChannelTile(const char* name, const LinearWeights& weights);

}  // namespace graft::runtime
