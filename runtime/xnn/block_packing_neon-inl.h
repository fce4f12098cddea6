// SPDX-License-Identifier: Apache-2.0
// What block_packing.cc does on 64-bit ARM, with vectors: the same bytes. Included by it alone.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "runtime/xnn/block_packing.h"

namespace graft::runtime {
namespace {

constexpr size_t kVector = 16;  // bytes
constexpr uint8_t kVectorSigns = 0x88;
constexpr uint16_t kVectorSixteenth = 4 << 7;

/// A row's part of a block's groups, 32 columns at a time; gives `sum` less its scaled codes.
template <size_t kDepth>
float PackRowVectors(size_t tile, size_t block_size, const uint8_t* in, float scale, uint8_t* out,
                     float sum) {
  const size_t group_bytes = tile * kDepth;
  for (const uint8_t* end = in + block_size / 2; in != end; in += kVector) {
    const uint8x16_t columns = vld1q_u8(in);
    const uint8x16_t even = vandq_u8(columns, vdupq_n_u8(15));
    const uint8x16_t odd = vshrq_n_u8(columns, 4);
    const uint8x16_t first = vzip1q_u8(even, odd), second = vzip2q_u8(even, odd);
    const uint32x4_t sums = vpaddlq_u16(vpaddlq_u8(vaddq_u8(even, odd)));  // of 8 columns each
    if constexpr (kDepth == 8) {
      const uint64x2_t a = vreinterpretq_u64_u8(first), b = vreinterpretq_u64_u8(second);
      const uint8x16_t low = vreinterpretq_u8_u64(vzip1q_u64(a, b));
      const uint8x16_t high = vreinterpretq_u8_u64(vzip2q_u64(a, b));
      const uint8x16_t both = veorq_u8(vsliq_n_u8(low, high, 4), vdupq_n_u8(kVectorSigns));
      vst1_u8(out, vget_low_u8(both));
      vst1_u8(out + group_bytes, vget_high_u8(both));
      out += 2 * group_bytes;
      const int32x4_t codes =
          vsubq_s32(vreinterpretq_s32_u32(vpaddq_u32(sums, sums)), vdupq_n_s32(128));
      const float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(codes), scale);
      sum -= vgetq_lane_f32(scaled, 0);
      sum -= vgetq_lane_f32(scaled, 1);
    } else {
      const uint32x4_t a = vreinterpretq_u32_u8(first), b = vreinterpretq_u32_u8(second);
      const uint8x16_t low = vreinterpretq_u8_u32(vuzp1q_u32(a, b));
      const uint8x16_t high = vreinterpretq_u8_u32(vuzp2q_u32(a, b));
      const uint32x4_t both =
          vreinterpretq_u32_u8(veorq_u8(vsliq_n_u8(low, high, 4), vdupq_n_u8(kVectorSigns)));
      vst1q_lane_u32(reinterpret_cast<uint32_t*>(out), both, 0);
      vst1q_lane_u32(reinterpret_cast<uint32_t*>(out + group_bytes), both, 1);
      vst1q_lane_u32(reinterpret_cast<uint32_t*>(out + 2 * group_bytes), both, 2);
      vst1q_lane_u32(reinterpret_cast<uint32_t*>(out + 3 * group_bytes), both, 3);
      out += 4 * group_bytes;
      const int32x4_t codes = vsubq_s32(vreinterpretq_s32_u32(sums), vdupq_n_s32(64));
      const float32x4_t scaled = vmulq_n_f32(vcvtq_f32_s32(codes), scale);
      sum -= vgetq_lane_f32(scaled, 0);
      sum -= vgetq_lane_f32(scaled, 1);
      sum -= vgetq_lane_f32(scaled, 2);
      sum -= vgetq_lane_f32(scaled, 3);
    }
  }
  return sum;
}

/// Rows to columns: each of four shuffles puts row i + 8 between the numbers of row i.
inline void Transpose(uint8x16_t (&rows)[kVector]) {
  for (int round = 0; round < 4; ++round) {
    uint8x16_t shuffled[kVector];
    for (size_t i = 0; i < kVector / 2; ++i) {
      shuffled[2 * i] = vzip1q_u8(rows[i], rows[i + kVector / 2]);
      shuffled[2 * i + 1] = vzip2q_u8(rows[i], rows[i + kVector / 2]);
    }
    for (size_t i = 0; i < kVector; ++i) rows[i] = shuffled[i];
  }
}

/// Takes two columns' scaled codes of 16 rows from their sums. A product is exact, so that it does
/// not matter that it is not rounded.
inline void SubtractPairs(uint8x16_t columns, const float32x4_t (&scales)[4],
                          float32x4_t (&sums)[4]) {
  const uint8x16_t pairs = vaddq_u8(vandq_u8(columns, vdupq_n_u8(15)), vshrq_n_u8(columns, 4));
  const int8x16_t codes = vsubq_s8(vreinterpretq_s8_u8(pairs), vdupq_n_s8(16));
  const int16x8_t first = vmovl_s8(vget_low_s8(codes)), second = vmovl_high_s8(codes);
  sums[0] = vfmsq_f32(sums[0], vcvtq_f32_s32(vmovl_s16(vget_low_s16(first))), scales[0]);
  sums[1] = vfmsq_f32(sums[1], vcvtq_f32_s32(vmovl_high_s16(first)), scales[1]);
  sums[2] = vfmsq_f32(sums[2], vcvtq_f32_s32(vmovl_s16(vget_low_s16(second))), scales[2]);
  sums[3] = vfmsq_f32(sums[3], vcvtq_f32_s32(vmovl_high_s16(second)), scales[3]);
}

/// The groups, scales and sums of a whole tile of 16 rows, of depth 1: a group is a byte of each.
inline void PackBytesOfTile(const BlockRows& rows, size_t begin, uint8_t* packed) {
  const size_t blocks = rows.width / rows.block_size;
  const size_t row_bytes = rows.width / 2;
  const uint8_t* in = rows.data + begin * row_bytes;
  uint8_t* out = packed + kVector * sizeof(float);
  float32x4_t sums[4] = {};
  for (size_t block = 0; block < blocks; ++block) {
    uint16_t stored[kVector];
    for (size_t row = 0; row < kVector; ++row)
      stored[row] = rows.scales[(begin + row) * blocks + block];
    float32x4_t scales[4];
    for (size_t i = 0; i < 4; ++i)
      scales[i] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(stored + 4 * i), 16));
    for (size_t at = 0; at < rows.block_size / 2; at += kVector, in += kVector) {
      uint8x16_t columns[kVector];
      for (size_t row = 0; row < kVector; ++row) columns[row] = vld1q_u8(in + row * row_bytes);
      Transpose(columns);
      for (size_t i = 0; i < kVector; ++i, out += kVector) {
        vst1q_u8(out, veorq_u8(columns[i], vdupq_n_u8(kVectorSigns)));
        SubtractPairs(columns[i], scales, sums);
      }
    }
    for (size_t i = 0; i < kVector; i += 8, out += 8 * sizeof(uint16_t)) {
      const uint16x8_t sixteenth = vsubq_u16(vld1q_u16(stored + i), vdupq_n_u16(kVectorSixteenth));
      vst1q_u8(out, vreinterpretq_u8_u16(sixteenth));
    }
  }
  for (size_t i = 0; i < 4; ++i) vst1q_u8(packed + i * kVector, vreinterpretq_u8_f32(sums[i]));
}

}  // namespace
}  // namespace graft::runtime
