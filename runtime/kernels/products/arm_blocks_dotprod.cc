// SPDX-License-Identifier: Apache-2.0
// Int4 blocks by dot products of four bytes: 16 bytes of a tile are 4 columns of 4 outputs in the
// low halves, the next 4 in the high ones.
#include "runtime/kernels/products/arm_blocks.h"

#if GRAFT_ARM_BLOCKS
#include <type_traits>
#include <utility>

#define GRAFT_TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define GRAFT_INLINE GRAFT_TARGET __attribute__((always_inline)) inline
#include "runtime/kernels/products/arm_blocks-inl.h"

namespace graft::runtime::arm {
namespace {

constexpr size_t kGroup = 8;  // columns in 16 bytes of each quarter
constexpr size_t kGroupBytes = kTile * kGroup / 2;

// Goes on by kBytes in the same instruction.
template <size_t kBytes>
GRAFT_INLINE uint8x16_t LoadNext(const uint8_t*& from) {
  uint8x16_t bytes;
  __asm__("ldr %q0, [%1], %2" : "=w"(bytes), "+r"(from) : "i"(kBytes));
  return bytes;
}
// Four rows of x. Arrays that are indexed by constants stay in registers.
struct DotPanel {
  float32x4_t totals[kPanelRows];
  int32x4_t sums[kPanelRows];

  GRAFT_INLINE void Clear() {
    sums[0] = NewZero();
    sums[1] = NewZero();
    sums[2] = NewZero();
    sums[3] = NewZero();
  }
  GRAFT_INLINE void AddFour(int8x16_t weights, int8x16_t codes) {
    sums[0] = vdotq_laneq_s32(sums[0], weights, codes, 0);
    sums[1] = vdotq_laneq_s32(sums[1], weights, codes, 1);
    sums[2] = vdotq_laneq_s32(sums[2], weights, codes, 2);
    sums[3] = vdotq_laneq_s32(sums[3], weights, codes, 3);
  }
  GRAFT_INLINE void AddScaled(float32x4_t scales) {
    totals[0] = vfmaq_f32(totals[0], vcvtq_f32_s32(sums[0]), scales);
    totals[1] = vfmaq_f32(totals[1], vcvtq_f32_s32(sums[1]), scales);
    totals[2] = vfmaq_f32(totals[2], vcvtq_f32_s32(sums[2]), scales);
    totals[3] = vfmaq_f32(totals[3], vcvtq_f32_s32(sums[3]), scales);
  }
  GRAFT_INLINE void Begin(float32x4_t code_sums, const float* zero_points) {
    const float32x4_t zeros = vld1q_f32(zero_points);
    totals[0] = vmulq_laneq_f32(code_sums, zeros, 0);
    totals[1] = vmulq_laneq_f32(code_sums, zeros, 1);
    totals[2] = vmulq_laneq_f32(code_sums, zeros, 2);
    totals[3] = vmulq_laneq_f32(code_sums, zeros, 3);
  }
  GRAFT_INLINE void End(float32x4_t bias, const float* row_scales) {
    const float32x4_t scales = vld1q_f32(row_scales);
    totals[0] = vaddq_f32(bias, vmulq_laneq_f32(totals[0], scales, 0));
    totals[1] = vaddq_f32(bias, vmulq_laneq_f32(totals[1], scales, 1));
    totals[2] = vaddq_f32(bias, vmulq_laneq_f32(totals[2], scales, 2));
    totals[3] = vaddq_f32(bias, vmulq_laneq_f32(totals[3], scales, 3));
  }
  // Gives where the next panel's outputs are.
  GRAFT_INLINE const float* Load(const float* from, size_t stride, size_t last) {
    totals[0] = vld1q_f32(from);
    totals[1] = vld1q_f32(from += stride);
    totals[2] = vld1q_f32(from += stride);
    totals[3] = vld1q_f32(from += last);
    return from + stride;
  }
  GRAFT_INLINE void Store(float*& to, size_t stride, size_t last) const {
    StoreNext(to, totals[0], stride);
    StoreNext(to, totals[1], stride);
    StoreNext(to, totals[2], last);
    StoreNext(to, totals[3], stride);
  }
};

template <class Numbers>
struct DotPanels;
template <size_t... kPanel>
struct DotPanels<std::index_sequence<kPanel...>> {
  static constexpr size_t kPanels = sizeof...(kPanel);
  static constexpr size_t kRows = kPanels * kPanelRows;
  static constexpr size_t kOutputs = kQuarter;
  static constexpr size_t kPartBytes = 16;
  static constexpr size_t kStepBytes = kRows * kStep;
  DotPanel panels[kPanels];

  GRAFT_INLINE void Clear() { (panels[kPanel].Clear(), ...); }
  GRAFT_INLINE void AddFour(int8x16_t weights, const int8_t*& codes) {
    const auto four = LoadPanels<kPanels>(codes);
    (panels[kPanel].AddFour(weights, four.val[kPanel]), ...);
  }
  GRAFT_INLINE void AddGroup(uint8x16_t bytes, const int8_t*& codes) {
    int8x16_t low, high;
    Split(bytes, low, high);
    AddFour(low, codes);
    AddFour(high, codes);
  }
  template <size_t kAfter>
  GRAFT_INLINE void Add(const uint8_t*& from, const int8_t*& codes) {
    AddGroup(LoadNext<kGroupBytes>(from), codes);
    AddGroup(LoadNext<kGroupBytes>(from), codes);
    AddGroup(LoadNext<kGroupBytes>(from), codes);
    AddGroup(LoadNext<kGroupBytes + kAfter>(from), codes);
  }
  // The same of one panel, of this quarter and of the next.
  static GRAFT_INLINE void AddGroupTwice(DotPanel& first, DotPanel& second, const uint8_t* from,
                                         const int8_t* codes) {
    const uint8x16_t a = vld1q_u8(from), b = vld1q_u8(from + 16);
    const int8x16_t codes0 = vld1q_s8(codes), codes1 = vld1q_s8(codes + 16);
    int8x16_t low, high, low1, high1;
    Split(a, low, high);
    Split(b, low1, high1);
    first.AddFour(low, codes0);
    second.AddFour(low1, codes0);
    first.AddFour(high, codes1);
    second.AddFour(high1, codes1);
  }
  template <size_t kAfter>
  static GRAFT_INLINE void AddTwo(DotPanels& first, DotPanels& second, const uint8_t*& from,
                                  const int8_t*& codes) {
    static_assert(kPanels == 1);
    AddGroupTwice(first.panels[0], second.panels[0], from, codes);
    AddGroupTwice(first.panels[0], second.panels[0], from + kGroupBytes, codes + 32);
    AddGroupTwice(first.panels[0], second.panels[0], from + 2 * kGroupBytes, codes + 64);
    AddGroupTwice(first.panels[0], second.panels[0], from + 3 * kGroupBytes, codes + 96);
    from += kCodeBytes + kAfter;
    codes += kStepBytes;
  }
  GRAFT_INLINE void AddScaled(const uint8_t* from) {
    const float32x4_t scales = LoadScales(from);
    (panels[kPanel].AddScaled(scales), ...);
  }
  GRAFT_INLINE void Begin(const uint8_t* from, const float* zero_points) {
    const float32x4_t code_sums = LoadFloats(from);
    (panels[kPanel].Begin(code_sums, zero_points + kPanel * kPanelRows), ...);
  }
  GRAFT_INLINE void Load(const float* from, size_t stride, size_t last) {
    ((from = panels[kPanel].Load(from, stride, kPanel + 1 == kPanels ? last : stride)), ...);
  }
  GRAFT_INLINE void Store(float* to, size_t stride, size_t last) const {
    (panels[kPanel].Store(to, stride, kPanel + 1 == kPanels ? last : stride), ...);
  }
  GRAFT_INLINE void End(const uint8_t* from, const float* scales, float* to, size_t stride,
                        size_t last) {
    const float32x4_t bias = LoadFloats(from);
    (panels[kPanel].End(bias, scales + kPanel * kPanelRows), ...);
    Store(to, stride, last);
  }
};

// A row of x, and 16 outputs.
struct DotRow {
  float32x4_t totals[4];
  int32x4_t sums[4];
  int8x16_t codes[2];  // of a step

  GRAFT_INLINE void Load(const int8_t* from) {
    codes[0] = vld1q_s8(from);
    codes[1] = vld1q_s8(from + 16);
  }
  GRAFT_INLINE void Clear() {
    sums[0] = NewZero();
    sums[1] = NewZero();
    sums[2] = NewZero();
    sums[3] = NewZero();
  }
  // Four columns, the kFour-th of a step.
  template <size_t kFour>
  GRAFT_INLINE void Add(const int8x16_t (&weights)[4]) {
    sums[0] = vdotq_laneq_s32(sums[0], weights[0], codes[kFour / 4], kFour % 4);
    sums[1] = vdotq_laneq_s32(sums[1], weights[1], codes[kFour / 4], kFour % 4);
    sums[2] = vdotq_laneq_s32(sums[2], weights[2], codes[kFour / 4], kFour % 4);
    sums[3] = vdotq_laneq_s32(sums[3], weights[3], codes[kFour / 4], kFour % 4);
  }
  template <size_t kQuarterIndex>
  GRAFT_INLINE void AddScaled(float32x4_t scales) {
    totals[kQuarterIndex] =
        vfmaq_f32(totals[kQuarterIndex], vcvtq_f32_s32(sums[kQuarterIndex]), scales);
  }
};

template <class Numbers>
struct DotRows;
template <size_t... kRow>
struct DotRows<std::index_sequence<kRow...>> {
  DotRow rows[sizeof...(kRow)];

  GRAFT_INLINE void Clear() { (rows[kRow].Clear(), ...); }
  // All are taken apart before any is multiplied, so that no instruction waits for the one before.
  template <size_t kGroupIndex>
  GRAFT_INLINE void AddGroup(const uint8_t* from) {
    const uint8x16x4_t bytes = vld1q_u8_x4(from + kGroupIndex * kGroupBytes);
    int8x16_t low[4], high[4];
    Split(bytes.val[0], low[0], high[0]);
    Split(bytes.val[1], low[1], high[1]);
    Split(bytes.val[2], low[2], high[2]);
    Split(bytes.val[3], low[3], high[3]);
    (rows[kRow].template Add<2 * kGroupIndex>(low), ...);
    (rows[kRow].template Add<2 * kGroupIndex + 1>(high), ...);
  }
  GRAFT_INLINE void Add(const uint8_t* from, const int8_t* codes, size_t stride) {
    (rows[kRow].Load(codes + kRow * stride), ...);
    AddGroup<0>(from);
    AddGroup<1>(from);
    AddGroup<2>(from);
    AddGroup<3>(from);
  }
  template <size_t kQuarterIndex>
  GRAFT_INLINE void ScaleQuarter(const uint8_t* from) {
    const float32x4_t scales = LoadScales(from + kQuarterIndex * kQuarter * sizeof(uint16_t));
    (rows[kRow].template AddScaled<kQuarterIndex>(scales), ...);
  }
  GRAFT_INLINE void AddScaled(const uint8_t* from) {
    ScaleQuarter<0>(from);
    ScaleQuarter<1>(from);
    ScaleQuarter<2>(from);
    ScaleQuarter<3>(from);
  }
  GRAFT_INLINE void Begin(const uint8_t* code_sums, const float* zero_points) {
    for (size_t i = 0; i < 4; ++i) {
      const float32x4_t sums = LoadFloats(code_sums + i * 16);
      ((rows[kRow].totals[i] = vmulq_n_f32(sums, zero_points[kRow])), ...);
    }
  }
  GRAFT_INLINE void End(const uint8_t* biases, const float* scales, float* to, size_t stride) {
    for (size_t i = 0; i < 4; ++i) {
      const float32x4_t bias = LoadFloats(biases + i * 16);
      (vst1q_f32(to + kRow * stride + i * kQuarter,
                 vaddq_f32(bias, vmulq_n_f32(rows[kRow].totals[i], scales[kRow]))),
       ...);
    }
  }
};

template <size_t kPanels, bool kOneStep>
GRAFT_TARGET void MultiplyPanels(const BlockCall& call) {
  using Sums = DotPanels<std::make_index_sequence<kPanels>>;
  // With one panel there are registers left.
  MultiplyTiles<std::conditional_t<kPanels == 1, TwoQuarters<Sums>, Sums>,
                kOneStep ? Walk::kOneStepBlocks : Walk::kBlocks>(call);
}
template <size_t kRows, bool kOneStep>
GRAFT_TARGET void MultiplyRows(const BlockCall& call) {
  MultiplyFewRows<DotRows<std::make_index_sequence<kRows>>, kOneStep>(call);
}

template <bool kOneStep>
constexpr BlockKernels kKernels = {
    {MultiplyPanels<1, kOneStep>, MultiplyPanels<2, kOneStep>, MultiplyPanels<3, kOneStep>},
    {MultiplyRows<1, kOneStep>, MultiplyRows<2, kOneStep>}};

}  // namespace

const BlockKernels& DotprodKernels(bool one_step) {
  return one_step ? kKernels<true> : kKernels<false>;
}

}  // namespace graft::runtime::arm
#endif
