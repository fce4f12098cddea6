// SPDX-License-Identifier: Apache-2.0
// Numbers to the lanes in which the search for scales takes them. Included once for each target.
#if defined(GRAFT_CONVERTER_QUANTIZE_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_CONVERTER_QUANTIZE_LANES_INL_H_
#undef GRAFT_CONVERTER_QUANTIZE_LANES_INL_H_
#else
#define GRAFT_CONVERTER_QUANTIZE_LANES_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Blocks, or parts of a row, are searched sixteen at a time, each in a lane of its own: element i
// of lane l lies at x[16 i + l]. Sums then run along a lane in element order, whatever the width of
// a vector.
constexpr size_t kLanes = 16;

#if HWY_TARGET != HWY_SCALAR  // which has no vectors of four
// Four vectors of four to their transpose, for each four lanes and elements of x.
HWY_INLINE void TransposeLanes(const float* HWY_RESTRICT runs, size_t length,
                               float* HWY_RESTRICT x) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<uint64_t, 2> pairs;
  const auto as_pairs = [&](auto v) HWY_ATTR { return hn::BitCast(pairs, v); };
  for (size_t lane = 0; lane < kLanes; lane += 4) {
    for (size_t i = 0; i < length; i += 4) {
      const float* from = runs + lane * length + i;
      const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + length);
      const auto r2 = hn::LoadU(d, from + 2 * length), r3 = hn::LoadU(d, from + 3 * length);
      const auto t0 = as_pairs(hn::InterleaveLower(d, r0, r1));
      const auto t1 = as_pairs(hn::InterleaveLower(d, r2, r3));
      const auto t2 = as_pairs(hn::InterleaveUpper(d, r0, r1));
      const auto t3 = as_pairs(hn::InterleaveUpper(d, r2, r3));
      float* to = x + i * kLanes + lane;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, t0, t1)), d, to);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, t0, t1)), d, to + kLanes);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, t2, t3)), d, to + 2 * kLanes);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, t2, t3)), d, to + 3 * kLanes);
    }
  }
}
#endif

// Spreads runs of `length` numbers over the lanes of x [length, 16]; lanes and elements without
// numbers become 0.
HWY_INLINE void SpreadOverLanes(const double* HWY_RESTRICT numbers, size_t count, size_t length,
                                float* HWY_RESTRICT x) {
#if HWY_TARGET != HWY_SCALAR
  constexpr size_t kLongestBlock = 256;
  if (length <= kLongestBlock && length % 4 == 0 && count == length * kLanes) {
    float runs[kLongestBlock * kLanes];
    for (size_t i = 0; i < count; ++i) runs[i] = static_cast<float>(numbers[i]);
    return TransposeLanes(runs, length, x);
  }
#endif
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const size_t begin = std::min(lane * length, count);
    const size_t here = std::min(length, count - begin);
    for (size_t i = 0; i < here; ++i) {
      x[i * kLanes + lane] = static_cast<float>(numbers[begin + i]);
    }
    for (size_t i = here; i < length; ++i) x[i * kLanes + lane] = 0.0f;
  }
}

}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, toggled for each target
