// SPDX-License-Identifier: Apache-2.0
// How the kernels of arm_blocks.h walk over tiles. Included by their files, each of which has other
// instructions: GRAFT_INLINE names them, and that all is inlined.
#pragma once

#include <arm_neon.h>

#include <algorithm>
#include <cstring>

#include "runtime/kernels/products/arm_blocks.h"

namespace graft::runtime::arm {
namespace {

constexpr size_t kQuarter = 4;  // outputs whose sums the registers have room for, of many rows
constexpr size_t kCodeBytes = kTile * kStep / 2;  // of a step
constexpr size_t kScaleBytes = kTile * sizeof(uint16_t);
constexpr size_t kFloatBytes = kTile * sizeof(float);

GRAFT_INLINE float32x4_t LoadFloats(const uint8_t* from) {
  return vreinterpretq_f32_u8(vld1q_u8(from));
}

// Zero, made anew: a copy of one that is kept would cost a register.
GRAFT_INLINE int32x4_t NewZero() {
  int32x4_t zero;
  __asm__ volatile("movi %0.4s, #0" : "=w"(zero));
  return zero;
}

// A pointer whose numbers are read where they are used: kept in registers, they would cost those of
// sums.
template <class T>
GRAFT_INLINE const T* ReadAnew(const T* from) {
  __asm__ volatile("" : "+r"(from));
  return from;
}

// Stores, and goes on to the next row: one instruction, which compilers do not find.
GRAFT_INLINE void StoreNext(float*& to, float32x4_t value, size_t stride) {
  __asm__ volatile("st1 {%1.4s}, [%0], %2"
                   : "+r"(to)
                   : "w"(value), "r"(stride * sizeof(float))
                   : "memory");
}

// 4 columns of panels of rows, after which `from` is at the next: one instruction, which compilers
// do not find. What it reads is not written here.
template <size_t kPanels>
GRAFT_INLINE auto LoadPanels(const int8_t*& from) {
  static_assert(kPanels == 2 || kPanels == 3);
#if defined(__clang__)
  const int8_t* const at = from;
  from += kPanels * kPanelRows * 4;
  if constexpr (kPanels == 2) {
    return vld1q_s8_x2(at);
  } else {
    return vld1q_s8_x3(at);
  }
#else
  if constexpr (kPanels == 2) {
    int8x16x2_t panels;
    __asm__("ld1 {%S0.16b - %T0.16b}, [%1], 32" : "=w"(panels), "+r"(from));
    return panels;
  } else {
    int8x16x3_t panels;
    __asm__("ld1 {%S0.16b - %U0.16b}, [%1], 48" : "=w"(panels), "+r"(from));
    return panels;
  }
#endif
}

// Four scales in bf16, as floats.
GRAFT_INLINE float32x4_t LoadScales(const uint8_t* from) {
  return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(from)), 16));
}

// Codes 0 to 15 are the low halves of bytes, 16 times themselves; the scales are divided by it.
GRAFT_INLINE void Split(uint8x16_t bytes, int8x16_t& low, int8x16_t& high) {
  const int8x16_t both = vreinterpretq_s8_u8(bytes);
  low = vshlq_n_s8(both, 4);
  high = vandq_s8(both, vdupq_n_s8(-16));
}

// The outputs of a part of a tile of which W has only `count` stand here meanwhile.
template <size_t kRows, size_t kOutputs>
struct Edge {
  float outputs[kRows * kOutputs];

  GRAFT_INLINE void Load(const BlockCall& call, const float* from, size_t count) {
    std::memset(outputs, 0, sizeof(outputs));
    if (call.begins) return;
    for (size_t row = 0; row < call.rows; ++row) {
      std::memcpy(outputs + row * kOutputs, from + row * call.output_stride, count * sizeof(float));
    }
  }
  GRAFT_INLINE void Store(const BlockCall& call, float* to, size_t count) const {
    for (size_t row = 0; row < call.rows; ++row)
      std::memcpy(to + row * call.output_stride, outputs + row * kOutputs, count * sizeof(float));
  }
};

// The sums of one panel of x for two quarters of a tile.
template <class Sums>
struct TwoQuarters {
  static constexpr size_t kRows = Sums::kRows;
  static constexpr size_t kOutputs = 2 * kQuarter;
  static constexpr size_t kPartBytes = 2 * Sums::kPartBytes;
  static constexpr size_t kStepBytes = Sums::kStepBytes;
  Sums first, second;

  GRAFT_INLINE void Clear() {
    first.Clear();
    second.Clear();
  }
  template <size_t kAfter>
  GRAFT_INLINE void Add(const uint8_t*& from, const int8_t*& codes) {
    Sums::template AddTwo<kAfter>(first, second, from, codes);
  }
  GRAFT_INLINE void AddScaled(const uint8_t* scales) {
    first.AddScaled(scales);
    second.AddScaled(scales + kQuarter * sizeof(uint16_t));
  }
  GRAFT_INLINE void Begin(const uint8_t* code_sums, const float* zero_points) {
    first.Begin(code_sums, zero_points);
    second.Begin(code_sums + kQuarter * sizeof(float), zero_points);
  }
  GRAFT_INLINE void Load(const float* from, size_t stride, size_t last) {
    first.Load(from, stride, last);
    second.Load(from + kQuarter, stride, last);
  }
  GRAFT_INLINE void Store(float* to, size_t stride, size_t last) const {
    first.Store(to, stride, last);
    second.Store(to + kQuarter, stride, last);
  }
  GRAFT_INLINE void End(const uint8_t* bias, const float* scales, float* to, size_t stride,
                        size_t last) {
    first.End(bias, scales, to, stride, last);
    second.End(bias + kQuarter * sizeof(float), scales, to + kQuarter, stride, last);
  }
};

// What the rows of a call have.
struct RowNumbers {
  const float* zero_points;
  const float* scales;
  const int32_t* integer_zero_points;
};

// Where a part's outputs go: the first row's, and floats between rows; 0 before a row that only
// repeats the one before it.
struct Outputs {
  float* to;
  size_t stride;
  size_t last;
};

// Sums: registers of panels for a part of a tile, with
//   Begin(sums over columns, zero points), Load(row 0 of each panel, stride, last), Add(codes of a
//   step, of the rows), which goes on to the next step, kAfter bytes after this one's codes,
//   AddScaled(scales), End(bias, scales, as Load), Store(as Load).
template <class Sums, bool kOneStep>
GRAFT_INLINE void MultiplyPart(const BlockCall& call, const RowNumbers& of_rows,
                               const uint8_t* tile, size_t part, const Outputs& outputs) {
  const size_t block_bytes = kTile * call.block_size / 2 + kScaleBytes;
  const auto [to, stride, last] = outputs;
  const size_t output = part * Sums::kOutputs;
  Sums sums;
  if (call.begins) {
    sums.Begin(tile + output * sizeof(float), ReadAnew(of_rows.zero_points));
  } else {
    sums.Load(to, stride, last);
  }
  const uint8_t* from =
      tile + kFloatBytes + call.first_block * block_bytes + part * Sums::kPartBytes;
  const size_t to_scales = output * sizeof(uint16_t) - part * Sums::kPartBytes;  // from codes' end
  const int8_t* codes = call.codes;
  size_t block = call.blocks;
  do {
    sums.Clear();
    if constexpr (kOneStep) {
      sums.template Add<kScaleBytes>(from, codes);
      sums.AddScaled(from + (to_scales - kScaleBytes));
    } else {
      size_t columns = call.block_size;
      do {
        sums.template Add<0>(from, codes);
      } while ((columns -= kStep) != 0);
      sums.AddScaled(from + to_scales);
      from += kScaleBytes;
    }
  } while (--block != 0);
  if (call.ends) {
    const uint8_t* bias = tile + call.tile_bytes - kFloatBytes + output * sizeof(float);
    sums.End(bias, ReadAnew(of_rows.scales), to, stride, last);
  } else {
    sums.Store(to, stride, last);
  }
}

// How sums of eight outputs become these, as XNNPACK rounds.
struct ChannelEnds {
  float32x4_t scales[2], biases[2];

  // to: of one row
  template <bool kInt4>
  GRAFT_INLINE void Store(int32x4_t first, int32x4_t second, float row_scale, float* to) const {
    float32x4_t a, b;
    if constexpr (kInt4) {
      a = vcvtq_n_f32_s32(first, 4);
      b = vcvtq_n_f32_s32(second, 4);
    } else {
      a = vcvtq_f32_s32(first);
      b = vcvtq_f32_s32(second);
    }
    vst1q_f32(to, vfmaq_f32(biases[0], vmulq_n_f32(a, row_scale), scales[0]));
    vst1q_f32(to + kQuarter, vfmaq_f32(biases[1], vmulq_n_f32(b, row_scale), scales[1]));
  }
};

// Sums of weights with a scale for each output; a Panel has them of four rows.
template <class Panel, bool kInt4, size_t... kPanel>
struct ChannelPanels {
  static constexpr size_t kPanels = sizeof...(kPanel);
  static constexpr size_t kRows = kPanels * kPanelRows;
  static constexpr size_t kOutputs = 2 * kQuarter;
  static constexpr size_t kCodeBytes = kTile * kStep / (kInt4 ? 2 : 1);
  static constexpr size_t kStepBytes = kRows * kStep;
  Panel panels[kPanels];

  GRAFT_INLINE void Begin(const uint8_t* code_sums, const int32_t* zero_points) {
    const int32x4_t a = vreinterpretq_s32_u8(vld1q_u8(code_sums));
    const int32x4_t b = vreinterpretq_s32_u8(vld1q_u8(code_sums + 16));
    ((panels[kPanel].template BeginRow<0>(a, b, zero_points + kPanel * kPanelRows),
      panels[kPanel].template BeginRow<1>(a, b, zero_points + kPanel * kPanelRows),
      panels[kPanel].template BeginRow<2>(a, b, zero_points + kPanel * kPanelRows),
      panels[kPanel].template BeginRow<3>(a, b, zero_points + kPanel * kPanelRows)),
     ...);
  }
  GRAFT_INLINE void Load(const float* from, size_t stride, size_t last) {
    ((panels[kPanel].template LoadRow<0>(from), panels[kPanel].template LoadRow<1>(from += stride),
      panels[kPanel].template LoadRow<2>(from += stride),
      panels[kPanel].template LoadRow<3>(from += kPanel + 1 == kPanels ? last : stride),
      from += stride),
     ...);
  }
  GRAFT_INLINE void Store(float* to, size_t stride, size_t last) const {
    ((panels[kPanel].template StoreRow<0>(to), panels[kPanel].template StoreRow<1>(to += stride),
      panels[kPanel].template StoreRow<2>(to += stride),
      panels[kPanel].template StoreRow<3>(to += kPanel + 1 == kPanels ? last : stride),
      to += stride),
     ...);
  }
  GRAFT_INLINE void End(const uint8_t* scales, const uint8_t* bias, const float* row_scales,
                        float* to, size_t stride, size_t last) const {
    const ChannelEnds ends = {{LoadFloats(scales), LoadFloats(scales + 16)},
                              {LoadFloats(bias), LoadFloats(bias + 16)}};
    ((panels[kPanel].template EndRow<0, kInt4>(ends, row_scales + kPanel * kPanelRows, to),
      panels[kPanel].template EndRow<1, kInt4>(ends, row_scales + kPanel * kPanelRows,
                                               to += stride),
      panels[kPanel].template EndRow<2, kInt4>(ends, row_scales + kPanel * kPanelRows,
                                               to += stride),
      panels[kPanel].template EndRow<3, kInt4>(ends, row_scales + kPanel * kPanelRows,
                                               to += kPanel + 1 == kPanels ? last : stride),
      to += stride),
     ...);
  }
};

// The same of weights with a scale for each output: Begin(sums over columns, integer zero points),
// Add(codes of a step, of the rows), which goes on to the next of the rows, End(scales of outputs, bias, scales of rows, as Load).
template <class Sums>
GRAFT_INLINE void MultiplyChannelPart(const BlockCall& call, const RowNumbers& of_rows,
                                      const uint8_t* tile, size_t part, const Outputs& outputs) {
  const auto [to, stride, last] = outputs;
  const size_t output = part * Sums::kOutputs;
  Sums sums;
  if (call.begins) {
    sums.Begin(tile + output * sizeof(int32_t), ReadAnew(of_rows.integer_zero_points));
  } else {
    sums.Load(to, stride, last);
  }
  const uint8_t* from =
      tile + kFloatBytes + call.first_block * Sums::kCodeBytes + part * Sums::kPartBytes;
  const int8_t* codes = call.codes;
  size_t block = call.blocks;
  do {
    sums.Add(from, codes);
    from += Sums::kCodeBytes;
  } while (--block != 0);
  if (call.ends) {
    const uint8_t* scales = tile + call.tile_bytes - 2 * kFloatBytes + output * sizeof(float);
    sums.End(scales, scales + kFloatBytes, ReadAnew(of_rows.scales), to, stride, last);
  } else {
    sums.Store(to, stride, last);
  }
}

enum class Walk : uint8_t { kBlocks, kOneStepBlocks, kChannels };

template <class Sums, Walk kWalk>
GRAFT_INLINE void MultiplyTiles(const BlockCall& wanted) {
  const BlockCall call = wanted;  // so that no output can be one of its numbers
  const RowNumbers of_rows = {wanted.zero_points, wanted.scales, wanted.integer_zero_points};
  const uint8_t* tile = call.packed;
  size_t part = 0;
  const bool whole_panels = call.rows % kPanelRows == 0;
  Outputs outputs = {call.output, call.output_stride, whole_panels ? call.output_stride : 0};
  Edge<Sums::kRows, Sums::kOutputs> edge;
  for (size_t left = call.out_features;;) {
    float* const to = outputs.to;
    if (left < Sums::kOutputs) {
      edge.Load(call, to, left);
      outputs = {edge.outputs, Sums::kOutputs, whole_panels ? Sums::kOutputs : 0};
    }
    if constexpr (kWalk == Walk::kChannels) {
      MultiplyChannelPart<Sums>(call, of_rows, tile, part, outputs);
    } else {
      MultiplyPart<Sums, kWalk == Walk::kOneStepBlocks>(call, of_rows, tile, part, outputs);
    }
    if (left < Sums::kOutputs) edge.Store(call, to, left);
    if (left <= Sums::kOutputs) return;
    left -= Sums::kOutputs;
    outputs.to += Sums::kOutputs;
    if (++part == kTile / Sums::kOutputs) {
      part = 0;
      tile += call.tile_bytes;
    }
  }
}

// Sums: registers of one or two rows for a whole tile, with Begin, Clear, Add, AddScaled, End.
template <class Sums, bool kOneStep>
GRAFT_INLINE void MultiplyFewRows(const BlockCall& wanted) {
  const BlockCall call = wanted;
  const size_t block_bytes = kTile * call.block_size / 2;
  const uint8_t* from = call.packed;
  float* to = call.output;
  float edge[2 * kTile];
  for (size_t left = call.out_features; left != 0;) {
    const size_t count = std::min(left, kTile);
    Sums sums;
    sums.Begin(from, call.zero_points);
    from += kFloatBytes;
    const int8_t* codes = call.codes;
    size_t block = call.blocks;
    do {
      sums.Clear();
      if constexpr (kOneStep) {
        sums.Add(from, codes, call.codes_stride);
        codes += kStep;
        sums.AddScaled(from + kCodeBytes);
        from += kCodeBytes + kScaleBytes;
      } else {
        const uint8_t* end = from + block_bytes;
        do {
          sums.Add(from, codes, call.codes_stride);
          from += kCodeBytes;
          codes += kStep;
        } while (from != end);
        sums.AddScaled(from);
        from += kScaleBytes;
      }
    } while (--block != 0);
    if (count == kTile) {
      sums.End(from, call.scales, to, call.output_stride);
    } else {
      sums.End(from, call.scales, edge, kTile);
      for (size_t row = 0; row < call.rows; ++row)
        std::memcpy(to + row * call.output_stride, edge + row * kTile, count * sizeof(float));
    }
    from += kFloatBytes;
    to += count;
    left -= count;
  }
}

}  // namespace
}  // namespace graft::runtime::arm
