// SPDX-License-Identifier: Apache-2.0
// What block_product.cc does on 64-bit ARM: rows go through in panels of four, whose codes are
// brought into the order that the instructions take them in; one or two rows go through as they
// are. Included by the files of products alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/kernels/products/channel_product.h"

// Old versions of Clang have these instructions only for whole files.
#if defined(__aarch64__) && defined(__linux__) && \
    (!defined(__clang_major__) || __clang_major__ >= 16)
#define GRAFT_ARM_BLOCKS 1
#else
#define GRAFT_ARM_BLOCKS 0
#endif

namespace graft::runtime::arm {

inline constexpr size_t kTile = 16;      // outputs that are packed together
inline constexpr size_t kStep = 32;      // columns that one step of a kernel takes
inline constexpr size_t kPanelRows = 4;  // rows of x that are brought together
inline constexpr size_t kMaxPanels = 3;
inline constexpr size_t kMaxRows = kMaxPanels * kPanelRows;
// Eight outputs of three panels would leave no registers for anything else.
inline constexpr size_t kMaxChannelPanels = 2;

/// Rows of x times all of W, over the columns of `blocks` neighbouring blocks.
struct BlockCall {
  /// Panels: for each 4 columns (dotprod) or 16 (i8mm) those of each panel. Else the rows,
  /// `codes_stride` apart.
  const int8_t* codes = nullptr;
  size_t codes_stride = 0;
  const uint8_t* packed = nullptr;  ///< the first tile
  size_t tile_bytes = 0;
  size_t out_features = 0;
  size_t block_size = 0;
  size_t first_block = 0;
  size_t blocks = 0;
  bool begins = true;  ///< at the first block of the weights; else `output` has the sums so far
  bool ends = true;    ///< with the last one; else `output` gets the sums so far
  size_t rows = 0;     ///< those of x; a panel's others repeat its last
  float zero_points[kMaxRows] = {};
  float scales[kMaxRows] = {};
  int32_t integer_zero_points[kMaxRows] = {};
  float* output = nullptr;
  size_t output_stride = 0;
};

using BlockKernel = void (*)(const BlockCall&);

struct BlockKernels {
  BlockKernel panels[kMaxPanels];  ///< of 1, 2 and 3 panels
  BlockKernel rows[2];             ///< of 1 and 2 rows, over all blocks
};

/// By whether a block is a single step.
const BlockKernels& DotprodKernels(bool one_step);
const BlockKernels& I8mmKernels(bool one_step);

/// Of weights with a scale for each output: those of 1 and 2 panels. Blocks are steps.
const BlockKernel* DotprodChannelKernels(bool is_int4);
const BlockKernel* I8mmChannelKernels(bool is_int4);

/// What PrefersBlockProduct and MultiplyBlocks do here.
bool HasBlockKernels(BlockTile tile, size_t block_size);
void MultiplyBlocks(const BlockProduct& product);
void MultiplyChannels(const ChannelProduct& product);

}  // namespace graft::runtime::arm
