// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/products/arm_blocks.h"

#if GRAFT_ARM_BLOCKS
#include <arm_neon.h>
#include <sys/auxv.h>

#include <algorithm>

namespace graft::runtime::arm {
namespace {

// Of the kernel's words about the CPU (asm/hwcap.h), which old headers do not have all.
constexpr unsigned long kHasDotprod = 1ul << 20;
constexpr unsigned long kHasI8mm = 1ul << 13;  // in the second word

// Rows of more columns go through in several passes, so that panels stay in a near cache.
constexpr size_t kPanelColumns = 2048;
constexpr size_t kDotDepth = 4;
constexpr size_t kI8mmDepth = 8;
constexpr size_t kPart = 16;  // columns that are brought together at once

bool Has(unsigned long first, unsigned long second) {
  static const unsigned long kFirst = getauxval(AT_HWCAP);
  static const unsigned long kSecond = getauxval(AT_HWCAP2);
  return (kFirst & first) == first && (kSecond & second) == second;
}

// Four rows' 16 columns, in fours or eights of each row. stride: from a panel's fours to its next.
template <size_t kDepth>
void Interleave(const int8_t* const* rows, size_t column, int8_t* to, size_t stride) {
  if constexpr (kDepth == kDotDepth) {
    int32x4x4_t four;
    four.val[0] = vreinterpretq_s32_s8(vld1q_s8(rows[0] + column));
    four.val[1] = vreinterpretq_s32_s8(vld1q_s8(rows[1] + column));
    four.val[2] = vreinterpretq_s32_s8(vld1q_s8(rows[2] + column));
    four.val[3] = vreinterpretq_s32_s8(vld1q_s8(rows[3] + column));
    vst4q_lane_s32(reinterpret_cast<int32_t*>(to), four, 0);
    vst4q_lane_s32(reinterpret_cast<int32_t*>(to + stride), four, 1);
    vst4q_lane_s32(reinterpret_cast<int32_t*>(to + 2 * stride), four, 2);
    vst4q_lane_s32(reinterpret_cast<int32_t*>(to + 3 * stride), four, 3);
  } else {
    int64x2x2_t two;
    two.val[0] = vreinterpretq_s64_s8(vld1q_s8(rows[0] + column));
    two.val[1] = vreinterpretq_s64_s8(vld1q_s8(rows[1] + column));
    vst2q_s64(reinterpret_cast<int64_t*>(to), two);
    two.val[0] = vreinterpretq_s64_s8(vld1q_s8(rows[2] + column));
    two.val[1] = vreinterpretq_s64_s8(vld1q_s8(rows[3] + column));
    vst2q_s64(reinterpret_cast<int64_t*>(to + 2 * kPart), two);
  }
}

// Rows of one call: quantizations, and where the outputs go.
BlockCall CallOf(const BlockProduct& product, size_t row, size_t rows) {
  BlockCall call;
  call.packed = product.packed;
  call.block_size = product.block_size;
  call.blocks = product.in_features / product.block_size;
  call.tile_bytes =
      kTile * (2 * sizeof(float) + product.in_features / 2 + call.blocks * sizeof(uint16_t));
  call.out_features = product.out_features;
  call.rows = rows;
  for (size_t i = 0; i < kMaxRows; ++i) {
    const RowQuantization& of_row = product.quantization[row + std::min(i, rows - 1)];
    call.zero_points[i] = static_cast<float>(of_row.zero_point);
    call.scales[i] = of_row.scale;
    call.integer_zero_points[i] = of_row.zero_point;
  }
  call.output = product.output + row * product.output_stride;
  call.output_stride = product.output_stride;
  return call;
}

template <size_t kDepth>
void MultiplyPanels(const BlockProduct& product, const BlockKernel* kernels, size_t row,
                    BlockCall call) {
  const size_t rows = call.rows;
  alignas(64) int8_t interleaved[kMaxRows * kPanelColumns];
  const size_t panels = (rows + kPanelRows - 1) / kPanelRows;
  const size_t pass_blocks = kPanelColumns / product.block_size;
  const size_t all_blocks = call.blocks;
  call.codes = interleaved;
  const int8_t* of_rows[kMaxRows];
  for (size_t i = 0; i < kMaxRows; ++i)
    of_rows[i] = product.codes + (row + std::min(i, rows - 1)) * product.in_features;
  for (; call.first_block < all_blocks; call.first_block += call.blocks) {
    call.blocks = std::min(pass_blocks, all_blocks - call.first_block);
    call.begins = call.first_block == 0;
    call.ends = call.first_block + call.blocks == all_blocks;
    const size_t begin = call.first_block * product.block_size;
    const size_t end = begin + call.blocks * product.block_size;
    for (size_t panel = 0; panel < panels; ++panel) {
      const size_t bytes = kPanelRows * (kDepth == kDotDepth ? kDotDepth : kPart);
      int8_t* to = interleaved + panel * bytes;
      for (size_t column = begin; column < end; column += kPart, to += panels * kPanelRows * kPart)
        Interleave<kDepth>(of_rows + panel * kPanelRows, column, to, panels * bytes);
    }
    kernels[panels - 1](call);
  }
}

template <size_t kDepth>
void Multiply(const BlockProduct& product, const BlockKernels& kernels) {
  size_t row = 0;
  while (row < product.rows) {
    const size_t left = product.rows - row;
    size_t rows = std::min(left, kMaxRows);
    if (rows > 2) {
      // One row or two beyond full panels cost less by themselves than as a panel.
      const size_t rest = rows % kPanelRows;
      if (rest == 1 || rest == 2) rows -= rest;
      MultiplyPanels<kDepth>(product, kernels.panels, row, CallOf(product, row, rows));
    } else {
      BlockCall call = CallOf(product, row, rows);
      call.codes = product.codes + row * product.in_features;
      call.codes_stride = product.in_features;
      kernels.rows[rows - 1](call);
    }
    row += rows;
  }
}

template <size_t kDepth>
void MultiplyAllPanels(const ChannelProduct& product, const BlockKernel* kernels) {
  constexpr size_t kMost = kMaxChannelPanels * kPanelRows;
  for (size_t row = 0, rows = 0; row < product.rows; row += rows) {
    rows = std::min(product.rows - row, kMost);
    const size_t rest = rows % kPanelRows;
    if (rows > kPanelRows && rest != 0) rows -= rest;
    if (rest == rows && product.rows >= kPanelRows) {
      // Some rows before are computed again, to the same numbers, rather than none in their place.
      row -= kPanelRows - rest;
      rows = kPanelRows;
    }
    BlockCall call = CallOf(product, row, rows);
    const size_t code_bytes = product.is_int4 ? product.in_features / 2 : product.in_features;
    call.tile_bytes = kTile * (sizeof(int32_t) + code_bytes + 2 * sizeof(float));
    MultiplyPanels<kDepth>(product, kernels, row, call);
  }
}

}  // namespace

bool HasBlockKernels(BlockTile tile, size_t block_size) {
  if (tile.rows != kTile || block_size % kStep != 0 || block_size > kPanelColumns) return false;
  if (tile.depth == kDotDepth) return Has(kHasDotprod, 0);
  return tile.depth == kI8mmDepth && Has(kHasDotprod, kHasI8mm);
}

void MultiplyBlocks(const BlockProduct& product) {
  const bool one_step = product.block_size == kStep;
  if (product.depth == kDotDepth) {
    Multiply<kDotDepth>(product, DotprodKernels(one_step));
  } else {
    Multiply<kI8mmDepth>(product, I8mmKernels(one_step));
  }
}

void MultiplyChannels(const ChannelProduct& product) {
  ChannelProduct in_steps = product;
  in_steps.block_size = kStep;
  if (product.depth == kDotDepth) {
    MultiplyAllPanels<kDotDepth>(in_steps, DotprodChannelKernels(product.is_int4));
  } else {
    MultiplyAllPanels<kI8mmDepth>(in_steps, I8mmChannelKernels(product.is_int4));
  }
}

}  // namespace graft::runtime::arm
#endif
