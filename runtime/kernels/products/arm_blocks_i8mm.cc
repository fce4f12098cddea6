// SPDX-License-Identifier: Apache-2.0
// Int4 blocks by products of 2 x 8 and 8 x 2 bytes: 16 bytes of a tile are 8 columns of 2 outputs
// in the low halves, the next 8 in the high ones.
#include "runtime/kernels/products/arm_blocks.h"

#if GRAFT_ARM_BLOCKS
#include <type_traits>
#include <utility>

#define GRAFT_TARGET __attribute__((target("arch=armv8.2-a+dotprod+i8mm")))
#define GRAFT_INLINE GRAFT_TARGET __attribute__((always_inline)) inline
#include "runtime/kernels/products/arm_blocks-inl.h"

namespace graft::runtime::arm {
namespace {

constexpr size_t kGroup = 16;  // columns in 16 bytes of each two outputs
constexpr size_t kGroupBytes = kTile * kGroup / 2;
constexpr size_t kPairBytes = 32;  // 16 columns of two rows of x

GRAFT_INLINE float32x4_t FirstHalves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}
GRAFT_INLINE float32x4_t SecondHalves(float32x4_t a, float32x4_t b) {
  return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

// 16 columns of four outputs, two beside each other.
struct Weights {
  int8x16_t low01, low23, high01, high23;

  GRAFT_INLINE explicit Weights(const uint8_t* from) {
    const uint8x16_t first = vld1q_u8(from), second = vld1q_u8(from + 16);
    Split(first, low01, high01);
    Split(second, low23, high23);
  }
};

// Two rows of x times outputs 0 and 1, and 2 and 3: each register has two outputs of the first row,
// then those of the second.
struct Pair {
  float32x4_t total01, total23;
  int32x4_t sum01, sum23;

  GRAFT_INLINE void Clear() {
    sum01 = NewZero();
    sum23 = NewZero();
  }
  GRAFT_INLINE void Add(const Weights& weights, int8x16_t first, int8x16_t second) {
    sum01 = vmmlaq_s32(sum01, first, weights.low01);
    sum23 = vmmlaq_s32(sum23, first, weights.low23);
    sum01 = vmmlaq_s32(sum01, second, weights.high01);
    sum23 = vmmlaq_s32(sum23, second, weights.high23);
  }
  GRAFT_INLINE void AddScaled(float32x4_t scales01, float32x4_t scales23) {
    total01 = vfmaq_f32(total01, vcvtq_f32_s32(sum01), scales01);
    total23 = vfmaq_f32(total23, vcvtq_f32_s32(sum23), scales23);
  }
  // code_sums: of outputs 0, 1, 0, 1, and 2, 3, 2, 3; zero_points: each row's twice.
  GRAFT_INLINE void Begin(float32x4_t code_sums01, float32x4_t code_sums23,
                          float32x4_t zero_points) {
    total01 = vmulq_f32(code_sums01, zero_points);
    total23 = vmulq_f32(code_sums23, zero_points);
  }
  GRAFT_INLINE float32x4_t FirstRow() const { return FirstHalves(total01, total23); }
  GRAFT_INLINE float32x4_t SecondRow() const { return SecondHalves(total01, total23); }
  GRAFT_INLINE void Load(float32x4_t first, float32x4_t second) {
    total01 = FirstHalves(first, second);
    total23 = SecondHalves(first, second);
  }
};

// Four rows of x.
struct PairPanel {
  Pair pairs[2];

  GRAFT_INLINE void Add(const Weights& weights, const int8_t* codes) {
    const int8x16_t a = vld1q_s8(codes), b = vld1q_s8(codes + 16);
    const int8x16_t c = vld1q_s8(codes + 32), d = vld1q_s8(codes + 48);
    pairs[0].Add(weights, a, b);
    pairs[1].Add(weights, c, d);
  }
  GRAFT_INLINE void Begin(float32x4_t code_sums01, float32x4_t code_sums23,
                          const float* zero_points) {
    const float32x4_t zeros = vld1q_f32(zero_points);
    pairs[0].Begin(code_sums01, code_sums23, vzip1q_f32(zeros, zeros));
    pairs[1].Begin(code_sums01, code_sums23, vzip2q_f32(zeros, zeros));
  }
  GRAFT_INLINE const float* Load(const float* from, size_t stride, size_t last) {
    const float32x4_t a = vld1q_f32(from);
    const float32x4_t b = vld1q_f32(from += stride);
    const float32x4_t c = vld1q_f32(from += stride);
    const float32x4_t d = vld1q_f32(from += last);
    pairs[0].Load(a, b);
    pairs[1].Load(c, d);
    return from + stride;
  }
  GRAFT_INLINE void Store(float*& to, size_t stride, size_t last) const {
    StoreNext(to, pairs[0].FirstRow(), stride);
    StoreNext(to, pairs[0].SecondRow(), stride);
    StoreNext(to, pairs[1].FirstRow(), last);
    StoreNext(to, pairs[1].SecondRow(), stride);
  }
  GRAFT_INLINE void End(float32x4_t bias, const float* row_scales, float*& to, size_t stride,
                        size_t last) const {
    const float32x4_t scales = vld1q_f32(row_scales);
    const auto end = [bias](float32x4_t scaled) GRAFT_TARGET { return vaddq_f32(bias, scaled); };
    StoreNext(to, end(vmulq_laneq_f32(pairs[0].FirstRow(), scales, 0)), stride);
    StoreNext(to, end(vmulq_laneq_f32(pairs[0].SecondRow(), scales, 1)), stride);
    StoreNext(to, end(vmulq_laneq_f32(pairs[1].FirstRow(), scales, 2)), last);
    StoreNext(to, end(vmulq_laneq_f32(pairs[1].SecondRow(), scales, 3)), stride);
  }
};

template <class Numbers>
struct PairPanels;
template <size_t... kPanel>
struct PairPanels<std::index_sequence<kPanel...>> {
  static constexpr size_t kPanels = sizeof...(kPanel);
  static constexpr size_t kRows = kPanels * kPanelRows;
  static constexpr size_t kOutputs = kQuarter;
  static constexpr size_t kPartBytes = 32;
  static constexpr size_t kStepBytes = kRows * kStep;
  PairPanel panels[kPanels];

  GRAFT_INLINE void Clear() {
    (panels[kPanel].pairs[0].Clear(), ...);
    (panels[kPanel].pairs[1].Clear(), ...);
  }
  GRAFT_INLINE void AddGroup(const uint8_t* from, const int8_t* codes) {
    const Weights weights(from);
    (panels[kPanel].Add(weights, codes + kPanel * 2 * kPairBytes), ...);
  }
  GRAFT_INLINE void AddStep(const uint8_t* from, const int8_t* codes) {
    AddGroup(from, codes);
    AddGroup(from + kGroupBytes, codes + kPanels * 2 * kPairBytes);
  }
  template <size_t kAfter>
  GRAFT_INLINE void Add(const uint8_t*& from, const int8_t*& codes) {
    AddStep(from, codes);
    from += kCodeBytes + kAfter;
    codes += kStepBytes;
  }
  template <size_t kAfter>
  static GRAFT_INLINE void AddTwo(PairPanels& first, PairPanels& second, const uint8_t*& from,
                                  const int8_t*& codes) {
    first.AddStep(from, codes);
    second.AddStep(from + kPartBytes, codes);
    from += kCodeBytes + kAfter;
    codes += kStepBytes;
  }
  GRAFT_INLINE void AddScaled(const uint8_t* from) {
    const float32x4_t scales = LoadScales(from);
    const float32x4_t scales01 = FirstHalves(scales, scales);
    const float32x4_t scales23 = SecondHalves(scales, scales);
    (panels[kPanel].pairs[0].AddScaled(scales01, scales23), ...);
    (panels[kPanel].pairs[1].AddScaled(scales01, scales23), ...);
  }
  GRAFT_INLINE void Begin(const uint8_t* from, const float* zero_points) {
    const float32x4_t code_sums = LoadFloats(from);
    const float32x4_t code_sums01 = FirstHalves(code_sums, code_sums);
    const float32x4_t code_sums23 = SecondHalves(code_sums, code_sums);
    (panels[kPanel].Begin(code_sums01, code_sums23, zero_points + kPanel * kPanelRows), ...);
  }
  GRAFT_INLINE void Load(const float* from, size_t stride, size_t last) {
    ((from = panels[kPanel].Load(from, stride, kPanel + 1 == kPanels ? last : stride)), ...);
  }
  GRAFT_INLINE void Store(float* to, size_t stride, size_t last) const {
    (panels[kPanel].Store(to, stride, kPanel + 1 == kPanels ? last : stride), ...);
  }
  GRAFT_INLINE void End(const uint8_t* from, const float* scales, float* to, size_t stride,
                        size_t last) const {
    const float32x4_t bias = LoadFloats(from);
    (panels[kPanel].End(bias, scales + kPanel * kPanelRows, to, stride,
                        kPanel + 1 == kPanels ? last : stride),
     ...);
  }
};

// 16 columns of one row, each 8 of them twice: dot products of four bytes, which then are summed in
// twos, do as much for one row as products of matrices.
struct OneRow {
  int8x16_t first[2], second[2];  // of a step
  float32x4_t totals[4];
  int32x4_t sums[8];

  GRAFT_INLINE void Clear() {
    sums[0] = NewZero();
    sums[1] = NewZero();
    sums[2] = NewZero();
    sums[3] = NewZero();
    sums[4] = NewZero();
    sums[5] = NewZero();
    sums[6] = NewZero();
    sums[7] = NewZero();
  }
  static GRAFT_INLINE int8x16_t LoadTwice(const int8_t* from) {
    return vreinterpretq_s8_s64(vld1q_dup_s64(reinterpret_cast<const int64_t*>(from)));
  }
  template <size_t kFirst>
  GRAFT_INLINE void AddFour(const int8x16_t (&weights)[4], int8x16_t of_row) {
    sums[kFirst] = vdotq_s32(sums[kFirst], weights[0], of_row);
    sums[kFirst + 1] = vdotq_s32(sums[kFirst + 1], weights[1], of_row);
    sums[kFirst + 2] = vdotq_s32(sums[kFirst + 2], weights[2], of_row);
    sums[kFirst + 3] = vdotq_s32(sums[kFirst + 3], weights[3], of_row);
  }
  // All are taken apart before any is multiplied, so that no instruction waits for the one before.
  template <size_t kFirst>
  GRAFT_INLINE void AddHalf(const uint8_t* from, int8x16_t low_codes, int8x16_t high_codes) {
    const uint8x16x4_t bytes = vld1q_u8_x4(from);
    int8x16_t low[4], high[4];
    Split(bytes.val[0], low[0], high[0]);
    Split(bytes.val[1], low[1], high[1]);
    Split(bytes.val[2], low[2], high[2]);
    Split(bytes.val[3], low[3], high[3]);
    AddFour<kFirst>(low, low_codes);
    AddFour<kFirst>(high, high_codes);
  }
  GRAFT_INLINE void AddGroup(const uint8_t* from, const int8_t* codes) {
    const int8x16_t low = LoadTwice(codes), high = LoadTwice(codes + 8);
    AddHalf<0>(from, low, high);
    AddHalf<4>(from + 64, low, high);
  }
  GRAFT_INLINE void Add(const uint8_t* from, const int8_t* codes, size_t) {
    AddGroup(from, codes);
    AddGroup(from + kGroupBytes, codes + kGroup);
  }
  template <size_t kFour>
  GRAFT_INLINE void ScaleFour(const uint8_t* from) {
    const int32x4_t sum = vpaddq_s32(sums[2 * kFour], sums[2 * kFour + 1]);
    totals[kFour] = vfmaq_f32(totals[kFour], vcvtq_f32_s32(sum), LoadScales(from + kFour * 8));
  }
  GRAFT_INLINE void AddScaled(const uint8_t* from) {
    ScaleFour<0>(from);
    ScaleFour<1>(from);
    ScaleFour<2>(from);
    ScaleFour<3>(from);
  }
  GRAFT_INLINE void Begin(const uint8_t* code_sums, const float* zero_points) {
    for (size_t i = 0; i < 4; ++i)
      totals[i] = vmulq_n_f32(LoadFloats(code_sums + i * 16), zero_points[0]);
  }
  GRAFT_INLINE void End(const uint8_t* biases, const float* scales, float* to, size_t) {
    for (size_t i = 0; i < 4; ++i) {
      vst1q_f32(to + i * kQuarter,
                vaddq_f32(LoadFloats(biases + i * 16), vmulq_n_f32(totals[i], scales[0])));
    }
  }
};

struct TwoRows {
  Pair pairs[4];  // for each four outputs

  GRAFT_INLINE void Clear() {
    pairs[0].Clear();
    pairs[1].Clear();
    pairs[2].Clear();
    pairs[3].Clear();
  }
  GRAFT_INLINE void AddGroup(const uint8_t* from, int8x16_t first, int8x16_t second) {
    pairs[0].Add(Weights(from), first, second);
    pairs[1].Add(Weights(from + 32), first, second);
    pairs[2].Add(Weights(from + 64), first, second);
    pairs[3].Add(Weights(from + 96), first, second);
  }
  GRAFT_INLINE void AddGroup(const uint8_t* from, int64x2_t row0, int64x2_t row1) {
    AddGroup(from, vreinterpretq_s8_s64(vzip1q_s64(row0, row1)),
             vreinterpretq_s8_s64(vzip2q_s64(row0, row1)));
  }
  GRAFT_INLINE void Add(const uint8_t* from, const int8_t* codes, size_t stride) {
    const auto load = [](const int8_t* at)
                          GRAFT_TARGET { return vreinterpretq_s64_s8(vld1q_s8(at)); };
    AddGroup(from, load(codes), load(codes + stride));
    AddGroup(from + kGroupBytes, load(codes + kGroup), load(codes + stride + kGroup));
  }
  GRAFT_INLINE void AddScaled(const uint8_t* from) {
    ScaleFour<0>(from);
    ScaleFour<1>(from);
    ScaleFour<2>(from);
    ScaleFour<3>(from);
  }
  template <size_t kFour>
  GRAFT_INLINE void ScaleFour(const uint8_t* from) {
    const float32x4_t scales = LoadScales(from + kFour * 8);
    pairs[kFour].AddScaled(FirstHalves(scales, scales), SecondHalves(scales, scales));
  }
  GRAFT_INLINE void Begin(const uint8_t* code_sums, const float* zero_points) {
    const float32x2_t two = vld1_f32(zero_points);
    const float32x4_t zeros = vcombine_f32(vdup_lane_f32(two, 0), vdup_lane_f32(two, 1));
    for (size_t i = 0; i < 4; ++i) {
      const float32x4_t sums = LoadFloats(code_sums + i * 16);
      pairs[i].Begin(FirstHalves(sums, sums), SecondHalves(sums, sums), zeros);
    }
  }
  GRAFT_INLINE void End(const uint8_t* biases, const float* scales, float* to, size_t stride) {
    for (size_t i = 0; i < 4; ++i, to += kQuarter) {
      const float32x4_t bias = LoadFloats(biases + i * 16);
      vst1q_f32(to, vaddq_f32(bias, vmulq_n_f32(pairs[i].FirstRow(), scales[0])));
      vst1q_f32(to + stride, vaddq_f32(bias, vmulq_n_f32(pairs[i].SecondRow(), scales[1])));
    }
  }
};

template <size_t kPanels, bool kOneStep>
GRAFT_TARGET void MultiplyPanels(const BlockCall& call) {
  using Sums = PairPanels<std::make_index_sequence<kPanels>>;
  // With one panel there are registers left.
  MultiplyTiles<std::conditional_t<kPanels == 1, TwoQuarters<Sums>, Sums>,
                kOneStep ? Walk::kOneStepBlocks : Walk::kBlocks>(call);
}
template <class Rows, bool kOneStep>
GRAFT_TARGET void MultiplyRows(const BlockCall& call) {
  MultiplyFewRows<Rows, kOneStep>(call);
}

template <bool kOneStep>
constexpr BlockKernels kKernels = {
    {MultiplyPanels<1, kOneStep>, MultiplyPanels<2, kOneStep>, MultiplyPanels<3, kOneStep>},
    {MultiplyRows<OneRow, kOneStep>, MultiplyRows<TwoRows, kOneStep>}};

}  // namespace

const BlockKernels& I8mmKernels(bool one_step) {
  return one_step ? kKernels<true> : kKernels<false>;
}

}  // namespace graft::runtime::arm
#endif
