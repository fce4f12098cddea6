// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/products/channel_product.h"

#include "runtime/kernels/products/arm_blocks.h"

namespace graft::runtime {

#if GRAFT_ARM_BLOCKS
bool PrefersChannelProduct(BlockTile tile, size_t in_features) {
  return in_features % arm::kStep == 0 && arm::HasBlockKernels(tile, arm::kStep);
}

void MultiplyChannels(const ChannelProduct& product) { arm::MultiplyChannels(product); }
#else
bool PrefersChannelProduct(BlockTile, size_t) { return false; }
void MultiplyChannels(const ChannelProduct&) {}
#endif

}  // namespace graft::runtime
