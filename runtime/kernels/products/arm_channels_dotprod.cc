// SPDX-License-Identifier: Apache-2.0
// Weights with a scale for each output, by dot products of four bytes. 16 bytes of a tile are 4
// columns of 4 outputs, in int8; of int4, 4 in the low halves, the next 4 in the high ones.
#include "runtime/kernels/products/arm_blocks.h"

#if GRAFT_ARM_BLOCKS
#include <utility>

#define GRAFT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define GRAFT_INLINE GRAFT_TARGET __attribute__((always_inline)) inline
#include "runtime/kernels/products/arm_blocks-inl.h"

namespace graft::runtime::arm {
namespace {

constexpr size_t kGroupBytes = 64;              // of a tile
constexpr size_t kPanelBytes = kPanelRows * 4;  // of 4 columns

// Four rows of x times eight outputs: of each row the first four, and the others.
struct DotPanel {
  int32x4_t sums[kPanelRows][2];

  GRAFT_INLINE void Add(int8x16_t first, int8x16_t second, int8x16_t codes) {
    sums[0][0] = vdotq_laneq_s32(sums[0][0], first, codes, 0);
    sums[1][0] = vdotq_laneq_s32(sums[1][0], first, codes, 1);
    sums[2][0] = vdotq_laneq_s32(sums[2][0], first, codes, 2);
    sums[3][0] = vdotq_laneq_s32(sums[3][0], first, codes, 3);
    sums[0][1] = vdotq_laneq_s32(sums[0][1], second, codes, 0);
    sums[1][1] = vdotq_laneq_s32(sums[1][1], second, codes, 1);
    sums[2][1] = vdotq_laneq_s32(sums[2][1], second, codes, 2);
    sums[3][1] = vdotq_laneq_s32(sums[3][1], second, codes, 3);
  }
  template <size_t kRow>
  GRAFT_INLINE void BeginRow(int32x4_t first, int32x4_t second, const int32_t* zero_points) {
    sums[kRow][0] = vmulq_n_s32(first, zero_points[kRow]);
    sums[kRow][1] = vmulq_n_s32(second, zero_points[kRow]);
  }
  template <size_t kRow>
  GRAFT_INLINE void LoadRow(const float* from) {
    sums[kRow][0] = vreinterpretq_s32_f32(vld1q_f32(from));
    sums[kRow][1] = vreinterpretq_s32_f32(vld1q_f32(from + 4));
  }
  template <size_t kRow>
  GRAFT_INLINE void StoreRow(float* to) const {
    vst1q_f32(to, vreinterpretq_f32_s32(sums[kRow][0]));
    vst1q_f32(to + 4, vreinterpretq_f32_s32(sums[kRow][1]));
  }
  template <size_t kRow, bool kInt4>
  GRAFT_INLINE void EndRow(const ChannelEnds& ends, const float* row_scales, float* to) const {
    ends.Store<kInt4>(sums[kRow][0], sums[kRow][1], row_scales[kRow], to);
  }
};

template <bool kInt4, class Numbers>
struct DotPanels;
template <bool kInt4, size_t... kPanel>
struct DotPanels<kInt4, std::index_sequence<kPanel...>>
    : ChannelPanels<DotPanel, kInt4, kPanel...> {
  static constexpr size_t kPartBytes = 32;
  using Base = ChannelPanels<DotPanel, kInt4, kPanel...>;

  GRAFT_INLINE void AddFour(int8x16_t first, int8x16_t second, const int8_t*& codes) {
    if constexpr (Base::kPanels == 1) {
      Base::panels[0].Add(first, second, vld1q_s8(codes));
      codes += kPanelBytes;
    } else {
      const auto four = LoadPanels<Base::kPanels>(codes);
      (Base::panels[kPanel].Add(first, second, four.val[kPanel]), ...);
    }
  }
  // Four columns, or eight of int4.
  GRAFT_INLINE void AddGroup(const uint8_t* from, const int8_t*& codes) {
    const uint8x16_t first = vld1q_u8(from), second = vld1q_u8(from + 16);
    if constexpr (kInt4) {
      int8x16_t low0, high0, low1, high1;
      Split(first, low0, high0);
      Split(second, low1, high1);
      AddFour(low0, low1, codes);
      AddFour(high0, high1, codes);
    } else {
      AddFour(vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second), codes);
    }
  }
  GRAFT_INLINE void Add(const uint8_t* from, const int8_t*& codes) {
    AddGroup(from, codes);
    AddGroup(from + kGroupBytes, codes);
    AddGroup(from + 2 * kGroupBytes, codes);
    AddGroup(from + 3 * kGroupBytes, codes);
    if constexpr (!kInt4) {
      AddGroup(from + 4 * kGroupBytes, codes);
      AddGroup(from + 5 * kGroupBytes, codes);
      AddGroup(from + 6 * kGroupBytes, codes);
      AddGroup(from + 7 * kGroupBytes, codes);
    }
  }
};

template <size_t kPanels, bool kInt4>
GRAFT_TARGET void MultiplyChannelPanels(const BlockCall& call) {
  MultiplyTiles<DotPanels<kInt4, std::make_index_sequence<kPanels>>, Walk::kChannels>(call);
}

template <bool kInt4>
constexpr BlockKernel kKernels[kMaxChannelPanels] = {MultiplyChannelPanels<1, kInt4>,
                                                     MultiplyChannelPanels<2, kInt4>};

}  // namespace

const BlockKernel* DotprodChannelKernels(bool is_int4) {
  return is_int4 ? kKernels<true> : kKernels<false>;
}

}  // namespace graft::runtime::arm
#endif
