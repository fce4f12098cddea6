// SPDX-License-Identifier: Apache-2.0
// Rows of floats to int8 codes. Included once for each Highway target, like vector_math-inl.h.
#if defined(GRAFT_RUNTIME_KERNELS_ROW_QUANTIZATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_RUNTIME_KERNELS_ROW_QUANTIZATION_INL_H_
#undef GRAFT_RUNTIME_KERNELS_ROW_QUANTIZATION_INL_H_
#else
#define GRAFT_RUNTIME_KERNELS_ROW_QUANTIZATION_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

#include "runtime/kernels/row_kernels.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Rows whose ranges are found before any is encoded, so that what follows from a range is computed
// for a vector of rows.
constexpr size_t kRowsAtOnce = 16;

// The ranges of rows. Each holds 0, which must be representable.
struct Ranges {
  alignas(64) float low[kRowsAtOnce];
  alignas(64) float high[kRowsAtOnce];
};

HWY_INLINE void FindRange(const float* x, size_t width, float* low, float* high) {
  using Floats = hn::ScalableTag<float>;
  using Vector = hn::Vec<Floats>;
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  Vector low0 = hn::Zero(d), high0 = low0, low1 = low0, high1 = low0;
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    for (size_t k = 0; k < 4; k += 2) {
      const Vector v0 = hn::LoadU(d, x + i + k * lanes);
      const Vector v1 = hn::LoadU(d, x + i + (k + 1) * lanes);
      low0 = hn::Min(low0, v0);
      high0 = hn::Max(high0, v0);
      low1 = hn::Min(low1, v1);
      high1 = hn::Max(high1, v1);
    }
  }
  for (; i < width; i += lanes) {
    const Vector v = hn::LoadN(d, x + i, std::min(lanes, width - i));
    low0 = hn::Min(low0, v);
    high0 = hn::Max(high0, v);
  }
  *low = hn::ReduceMin(d, hn::Min(low0, low1));
  *high = hn::ReduceMax(d, hn::Max(high0, high1));
}

// The zero points and scales of the first `count` ranges. Divided one by one: 32-bit NEON divides
// vectors by way of estimates, which end in other last bits.
HWY_INLINE void FindQuantizations(const Ranges& ranges, size_t count, int32_t* zero_points,
                                  float* scales) {
  const hn::CappedTag<float, kRowsAtOnce> d;
  const hn::RebindToSigned<decltype(d)> di;
  alignas(64) float zeros[kRowsAtOnce] = {};
  for (size_t i = 0; i < count; ++i) {
    const float low = ranges.low[i], high = ranges.high[i];
    // Codes for each unit.
    const float steps = low == high ? 1.0f : 255.0f / (high - low);
    const float low_code = low * steps;
    const float high_code = high * steps;
    // Of the two ends, the one that leaves the smaller rounding error places the zero.
    const float zero =
        (-128.0f + low_code) + (127.0f + high_code) > 0 ? -128.0f - low_code : 127.0f - high_code;
    zeros[i] = std::clamp(zero, -128.0f, 127.0f);
    scales[i] = 1.0f / steps;
  }
  for (size_t i = 0; i < count; i += hn::Lanes(d))
    hn::Store(hn::NearestInt(hn::Load(d, zeros + i)), di, zero_points + i);
}

HWY_INLINE void Encode(const float* x, size_t width, const RowQuantization& quantization,
                       int8_t* codes) {
  using Floats = hn::ScalableTag<float>;
  using Vector = hn::Vec<Floats>;
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const hn::Rebind<int8_t, Floats> d8;
  const size_t lanes = hn::Lanes(d);
  const int32_t zero_point = quantization.zero_point;
  const Vector factor = hn::Set(d, 1.0f / quantization.scale);
  const auto offset = hn::Set(di, zero_point);
  // 127 - zero_point bounds the product before it becomes an integer, as infinities would not fit
  // one.
  const Vector most = hn::Set(d, 127.0f - static_cast<float>(zero_point));
  const Vector least = hn::Set(d, -128.0f - static_cast<float>(zero_point));
  const auto step = [&](const float* from) HWY_ATTR {
    const Vector scaled = hn::Mul(hn::LoadU(d, from), factor);
#if HWY_ARCH_ARM_A64
    return hn::NearestInt(hn::Min(scaled, most));  // what fits no integer becomes the least one
#else
    return hn::NearestInt(hn::Max(hn::Min(scaled, most), least));
#endif
  };
  // Four vectors share the work of narrowing; the zero point is added where lanes are 16 bits wide.
  const hn::Repartition<int16_t, Floats> d16;
  const hn::Repartition<int8_t, Floats> d8_full;
  const auto offset16 = hn::Set(d16, static_cast<int16_t>(zero_point));
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    const auto first = hn::OrderedDemote2To(d16, step(x + i), step(x + i + lanes));
    const auto second = hn::OrderedDemote2To(d16, step(x + i + 2 * lanes), step(x + i + 3 * lanes));
    hn::StoreU(hn::OrderedDemote2To(d8_full, hn::SaturatedAdd(first, offset16),
                                    hn::SaturatedAdd(second, offset16)),
               d8_full, codes + i);
  }
  for (; i < width; i += lanes) {
    const size_t count = std::min(lanes, width - i);
    const Vector scaled = hn::Mul(hn::LoadN(d, x + i, count), factor);
    const auto code = hn::NearestInt(hn::Max(hn::Min(scaled, most), least));
    hn::StoreN(hn::DemoteTo(d8, hn::Add(code, offset)), d8, codes + i, count);
  }
}

void QuantizeImpl(const float* x, size_t rows, size_t width, int8_t* codes,
                  RowQuantization* quantization) {
  Ranges ranges = {};
  alignas(64) int32_t zero_points[kRowsAtOnce];
  alignas(64) float scales[kRowsAtOnce];
  for (size_t first = 0; first < rows; first += kRowsAtOnce) {
    const size_t count = std::min(kRowsAtOnce, rows - first);
    for (size_t i = 0; i < count; ++i)
      FindRange(x + (first + i) * width, width, ranges.low + i, ranges.high + i);
    FindQuantizations(ranges, count, zero_points, scales);
    for (size_t i = 0; i < count; ++i) {
      const size_t row = first + i;
      quantization[row] = {zero_points[i], scales[i]};
      Encode(x + row * width, width, quantization[row], codes + row * width);
    }
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // GRAFT_RUNTIME_KERNELS_ROW_QUANTIZATION_INL_H_
