// SPDX-License-Identifier: Apache-2.0
// Products of many int8 rows and weights with a scale for each output, in int8 or int4, on packed
// weights, for CPUs on which the kernels that the layout comes from are the slower ones.
#pragma once

#include "runtime/kernels/products/block_product.h"

namespace graft::runtime {

/// y = x W^T + bias. A tile of W holds an int32 for each output (minus the sum of its codes, times
/// 16 of int4), the codes, a scale of each output, its bias. `block_size` is not used.
struct ChannelProduct : BlockProduct {
  bool is_int4 = false;
};

/// Whether MultiplyChannels is the faster way on this CPU for weights of `in_features` columns that
/// are packed like this, and at least this many rows: tiles of 16 x 4 and 16 x 8 on 64-bit ARM.
bool PrefersChannelProduct(BlockTile tile, size_t in_features);
inline constexpr size_t kFewestChannelRows = 3;

/// Computes it on the calling thread.
/// Requires PrefersChannelProduct. Sums are exact integers; it reads no byte behind a row.
void MultiplyChannels(const ChannelProduct& product);

}  // namespace graft::runtime
