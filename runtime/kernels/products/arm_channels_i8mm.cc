// SPDX-License-Identifier: Apache-2.0
// Weights with a scale for each output, by products of 2 x 8 and 8 x 2 bytes. 16 bytes of a tile
// are 8 columns of 2 outputs, in int8; of int4, 8 in the low halves, the next 8 in the high ones.
#include "runtime/kernels/products/arm_blocks.h"

#if GRAFT_ARM_BLOCKS
#include <utility>

#define GRAFT_TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define GRAFT_INLINE GRAFT_TARGET __attribute__((always_inline)) inline
#include "runtime/kernels/products/arm_blocks-inl.h"

namespace graft::runtime::arm {
namespace {

constexpr size_t kGroupBytes = 128;  // of a tile
constexpr size_t kPairBytes = 32;    // 16 columns of two rows of x

GRAFT_INLINE int32x4_t FirstHalves(int32x4_t a, int32x4_t b) {
  return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}
GRAFT_INLINE int32x4_t SecondHalves(int32x4_t a, int32x4_t b) {
  return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

// Four rows of x times eight outputs: of each two rows and each two outputs, the first row's two,
// then the second's.
struct PairPanel {
  int32x4_t sums[2][4];

  template <size_t kTwo>
  GRAFT_INLINE void Add(int8x16_t first, int8x16_t second, const int8_t* codes) {
    const int8x16_t a = vld1q_s8(codes), b = vld1q_s8(codes + kPairBytes);
    sums[0][kTwo] = vmmlaq_s32(sums[0][kTwo], a, first);
    sums[0][kTwo + 1] = vmmlaq_s32(sums[0][kTwo + 1], a, second);
    sums[1][kTwo] = vmmlaq_s32(sums[1][kTwo], b, first);
    sums[1][kTwo + 1] = vmmlaq_s32(sums[1][kTwo + 1], b, second);
  }
  template <size_t kRow>
  GRAFT_INLINE int32x4_t RowOf(size_t two) const {
    const int32x4_t a = sums[kRow / 2][two], b = sums[kRow / 2][two + 1];
    return kRow % 2 == 0 ? FirstHalves(a, b) : SecondHalves(a, b);
  }
  template <size_t kRow>
  GRAFT_INLINE void SetRow(int32x4_t first, int32x4_t second) {
    int32x4_t(&of_pair)[4] = sums[kRow / 2];
    if constexpr (kRow % 2 == 0) {
      of_pair[0] = first;
      of_pair[2] = second;
    } else {
      const int32x4_t above0 = of_pair[0], above2 = of_pair[2];
      of_pair[0] = FirstHalves(above0, first);
      of_pair[1] = SecondHalves(above0, first);
      of_pair[2] = FirstHalves(above2, second);
      of_pair[3] = SecondHalves(above2, second);
    }
  }
  template <size_t kRow>
  GRAFT_INLINE void BeginRow(int32x4_t first, int32x4_t second, const int32_t* zero_points) {
    SetRow<kRow>(vmulq_n_s32(first, zero_points[kRow]), vmulq_n_s32(second, zero_points[kRow]));
  }
  template <size_t kRow>
  GRAFT_INLINE void LoadRow(const float* from) {
    SetRow<kRow>(vreinterpretq_s32_f32(vld1q_f32(from)),
                 vreinterpretq_s32_f32(vld1q_f32(from + 4)));
  }
  template <size_t kRow>
  GRAFT_INLINE void StoreRow(float* to) const {
    vst1q_f32(to, vreinterpretq_f32_s32(RowOf<kRow>(0)));
    vst1q_f32(to + 4, vreinterpretq_f32_s32(RowOf<kRow>(2)));
  }
  template <size_t kRow, bool kInt4>
  GRAFT_INLINE void EndRow(const ChannelEnds& ends, const float* row_scales, float* to) const {
    ends.Store<kInt4>(RowOf<kRow>(0), RowOf<kRow>(2), row_scales[kRow], to);
  }
};

template <bool kInt4, class Numbers>
struct PairPanels;
template <bool kInt4, size_t... kPanel>
struct PairPanels<kInt4, std::index_sequence<kPanel...>>
    : ChannelPanels<PairPanel, kInt4, kPanel...> {
  static constexpr size_t kPartBytes = 64;
  using Base = ChannelPanels<PairPanel, kInt4, kPanel...>;

  // Eight columns of four outputs, kTwo of 0 and 2.
  template <size_t kTwo>
  GRAFT_INLINE void AddEight(int8x16_t first, int8x16_t second, const int8_t* codes) {
    (Base::panels[kPanel].template Add<kTwo>(first, second, codes + kPanel * 2 * kPairBytes), ...);
  }
  // Eight columns, or sixteen of int4.
  template <size_t kGroup, size_t kTwo>
  GRAFT_INLINE void AddGroup(const uint8_t* from, const int8_t* codes) {
    from += kGroup * kGroupBytes + kTwo * 16;
    const uint8x16_t first = vld1q_u8(from), second = vld1q_u8(from + 16);
    constexpr size_t kEight = kInt4 ? 2 * kGroup : kGroup;
    codes += kEight / 2 * Base::kPanels * 2 * kPairBytes + kEight % 2 * 16;
    if constexpr (kInt4) {
      int8x16_t low0, high0, low1, high1;
      Split(first, low0, high0);
      Split(second, low1, high1);
      AddEight<kTwo>(low0, low1, codes);
      AddEight<kTwo>(high0, high1, codes + 16);
    } else {
      AddEight<kTwo>(vreinterpretq_s8_u8(first), vreinterpretq_s8_u8(second), codes);
    }
  }
  template <size_t kGroup>
  GRAFT_INLINE void AddGroups(const uint8_t* from, const int8_t* codes) {
    AddGroup<kGroup, 0>(from, codes);
    AddGroup<kGroup, 2>(from, codes);
  }
  GRAFT_INLINE void Add(const uint8_t* from, const int8_t*& codes) {
    AddGroups<0>(from, codes);
    AddGroups<1>(from, codes);
    if constexpr (!kInt4) {
      AddGroups<2>(from, codes);
      AddGroups<3>(from, codes);
    }
    codes += Base::kStepBytes;
  }
};

template <size_t kPanels, bool kInt4>
GRAFT_TARGET void MultiplyChannelPanels(const BlockCall& call) {
  MultiplyTiles<PairPanels<kInt4, std::make_index_sequence<kPanels>>, Walk::kChannels>(call);
}

template <bool kInt4>
constexpr BlockKernel kKernels[kMaxChannelPanels] = {MultiplyChannelPanels<1, kInt4>,
                                                     MultiplyChannelPanels<2, kInt4>};

}  // namespace

const BlockKernel* I8mmChannelKernels(bool is_int4) {
  return is_int4 ? kKernels<true> : kKernels<false>;
}

}  // namespace graft::runtime::arm
#endif
