// SPDX-License-Identifier: Apache-2.0
// Scale search and rounding: one source, compiled once for each instruction set.
#include "converter/quantize/quantize_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "converter/base/vector_levels.h"
#include "converter/tensors/float_formats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/quantize/quantize_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "converter/quantize/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr float kLowestCode = -8.0f;
constexpr float kHighestCode = 7.0f;
using Tag = hn::CappedTag<float, kLanes>;
using Vector = hn::Vec<Tag>;

// Adding it to a small integer in float64 leaves that integer in the low bits.
constexpr double kIntegerAtLowBits = 6755399441055744.0;  // 1.5 * 2^52

// For codes of x * steps: xq[l] = sum of x q, qq[l] = sum of q q, for four candidates of steps side
// by side. A bound that no code can reach need not be kept.
template <bool kKeepLow, bool kKeepHigh>
void SumCodesWithin(const float* HWY_RESTRICT x, size_t elements, const float* steps,
                    float (*HWY_RESTRICT xq)[kLanes], float (*HWY_RESTRICT qq)[kLanes]) {
  const Tag d;
  const Vector low = hn::Set(d, kLowestCode);
  const Vector high = hn::Set(d, kHighestCode);
  const Vector s0 = hn::Set(d, steps[0]), s1 = hn::Set(d, steps[1]);
  const Vector s2 = hn::Set(d, steps[2]), s3 = hn::Set(d, steps[3]);
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    Vector a0 = hn::Zero(d), a1 = hn::Zero(d), a2 = hn::Zero(d), a3 = hn::Zero(d);
    Vector b0 = hn::Zero(d), b1 = hn::Zero(d), b2 = hn::Zero(d), b3 = hn::Zero(d);
    for (size_t i = 0; i < elements; ++i) {
      const Vector v = hn::LoadU(d, x + i * kLanes + lane);
      const auto one = [&](Vector s, Vector& a, Vector& b) HWY_ATTR {
        Vector q = hn::Mul(v, s);
        if constexpr (kKeepLow) q = hn::Max(q, low);
        if constexpr (kKeepHigh) q = hn::Min(q, high);
        q = hn::Round(q);
        a = hn::Add(a, hn::Mul(v, q));
        b = hn::MulAdd(q, q, b);  // q q is a small integer: fused or not, the same bits
      };
      one(s0, a0, b0);
      one(s1, a1, b1);
      one(s2, a2, b2);
      one(s3, a3, b3);
    }
    hn::StoreU(a0, d, xq[0] + lane);
    hn::StoreU(a1, d, xq[1] + lane);
    hn::StoreU(a2, d, xq[2] + lane);
    hn::StoreU(a3, d, xq[3] + lane);
    hn::StoreU(b0, d, qq[0] + lane);
    hn::StoreU(b1, d, qq[1] + lane);
    hn::StoreU(b2, d, qq[2] + lane);
    hn::StoreU(b3, d, qq[3] + lane);
  }
}

// Requires |x| <= 1, but for rounding, and steps in ascending order.
void SumBlockCodes(const float* x, size_t elements, const float* steps, float (*xq)[kLanes],
                   float (*qq)[kLanes]) {
  // Further from where rounding takes a code beyond the bound than x is from 1.
  constexpr float kBeyond = 0.49f;
  if (steps[3] < kHighestCode + kBeyond) {
    SumCodesWithin<false, false>(x, elements, steps, xq, qq);
  } else if (steps[3] < -kLowestCode + kBeyond) {
    SumCodesWithin<false, true>(x, elements, steps, xq, qq);
  } else {
    SumCodesWithin<true, true>(x, elements, steps, xq, qq);
  }
}

bool AllWithinKernel(const double* numbers, size_t count, double limit) {
  const hn::ScalableTag<double> d;
  const size_t lanes = hn::Lanes(d);
  const auto most = hn::Set(d, limit);
  auto bad = hn::MaskFalse(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    bad = hn::Or(bad, hn::Not(hn::Le(hn::Abs(hn::LoadU(d, numbers + i)), most)));
  }
  bool all = hn::AllFalse(d, bad);
  for (; i < count; ++i) all = all && std::fabs(numbers[i]) <= limit;
  return all;
}

double LargestKernel(const double* numbers, size_t count) {
  const hn::ScalableTag<double> d;
  const size_t lanes = hn::Lanes(d);
  auto largest = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(d, numbers + i)));
  }
  double result = hn::ReduceMax(d, largest);
  for (; i < count; ++i) result = std::max(result, std::fabs(numbers[i]));
  return result;
}

// Divides each lane by its largest magnitude, which goes to `largest`. A lane too small to be
// divided becomes zeros.
void NormalizeLanes(float* x, size_t length, float* largest) {
  const Tag d;
  const Vector smallest_normal = hn::Set(d, std::numeric_limits<float>::min());
  for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    Vector most = hn::Zero(d);
    for (size_t i = 0; i < length; ++i) {
      most = hn::Max(most, hn::Abs(hn::LoadU(d, x + i * kLanes + lane)));
    }
    const Vector to_unit =
        hn::IfThenElseZero(hn::Ge(most, smallest_normal), hn::Div(hn::Set(d, 1.0f), most));
    for (size_t i = 0; i < length; ++i) {
      float* place = x + i * kLanes + lane;
      hn::StoreU(hn::Mul(hn::LoadU(d, place), to_unit), d, place);
    }
    hn::StoreU(most, d, largest + lane);
  }
}

// For each of sixteen blocks: steps so that the block's largest magnitude is `ratio` steps of the
// best scale.
void SearchBlocksKernel(const float* x, size_t block_size, const float* steps, size_t step_count,
                        float* best_ratio) {
  const Tag d;
  float xq[4][kLanes];
  float qq[4][kLanes];
  float best_gain[kLanes] = {};
  for (size_t c = 0; c < step_count; c += 4) {
    SumBlockCodes(x, block_size, steps + c, xq, qq);
    for (size_t k = 0; k < 4; ++k) {
      for (size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
        const Vector a = hn::LoadU(d, xq[k] + lane);
        const Vector b = hn::LoadU(d, qq[k] + lane);
        // A lane of zeros gives 0 / 0, which is not greater than anything.
        const Vector ratio = hn::Div(a, b);
        const Vector gain = hn::Mul(a, ratio);
        const Vector old = hn::LoadU(d, best_gain + lane);
        const auto better = hn::Gt(gain, old);
        hn::StoreU(hn::IfThenElse(better, gain, old), d, best_gain + lane);
        hn::StoreU(hn::IfThenElse(better, ratio, hn::LoadU(d, best_ratio + lane)), d,
                   best_ratio + lane);
      }
    }
  }
}

void SumCodesKernel(const float* x, size_t elements, const float* steps, float (*xq)[kLanes],
                    float (*qq)[kLanes]) {
  SumCodesWithin<true, true>(x, elements, steps, xq, qq);
}

// Multiplying by the inverse is faster than dividing, and at most some 2^-45 from it: that matters
// only where the quotient is as near as this to the middle between two codes.
constexpr double kSurelyNearest = 0.5 - 0x1p-40;

// codes[i] = low byte of (number / scale to the nearest integer in [low, high]) + offset.
void RoundKernel(const double* HWY_RESTRICT numbers, size_t count, double scale, double low,
                 double high, double offset, uint8_t* HWY_RESTRICT codes,
                 double* HWY_RESTRICT stored) {
  const hn::ScalableTag<double> d;
  const hn::RebindToUnsigned<decltype(d)> d_bits;
  const hn::Rebind<uint8_t, decltype(d)> d_codes;
  const size_t lanes = hn::Lanes(d);
  const auto s = hn::Set(d, scale);
  const auto inverse = hn::Set(d, 1.0 / scale);
  const auto surely = hn::Set(d, kSurelyNearest);
  const auto lowest = hn::Set(d, low);
  const auto highest = hn::Set(d, high);
  const auto shift = hn::Set(d, kIntegerAtLowBits + offset);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto number = hn::LoadU(d, numbers + i);
    const auto near = hn::Min(hn::Max(hn::Mul(number, inverse), lowest), highest);
    auto q = hn::Round(near);
    if (HWY_UNLIKELY(!hn::AllTrue(d, hn::Lt(hn::Abs(hn::Sub(near, q)), surely)))) {
      q = hn::Round(hn::Min(hn::Max(hn::Div(number, s), lowest), highest));
    }
    hn::StoreU(hn::Mul(q, s), d, stored + i);
    hn::StoreU(hn::TruncateTo(d_codes, hn::BitCast(d_bits, hn::Add(q, shift))), d_codes, codes + i);
  }
  for (; i < count; ++i) {
    const double q = std::nearbyint(std::min(std::max(numbers[i] / scale, low), high));
    stored[i] = q * scale;
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(q + offset));
  }
}

void PackKernel(const uint8_t* HWY_RESTRICT codes, size_t pairs, uint8_t* HWY_RESTRICT packed) {
  size_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::CappedTag<uint16_t, 16> d;
  const hn::Rebind<uint8_t, decltype(d)> d_packed;
  const size_t lanes = hn::Lanes(d);
  for (; i + lanes <= pairs; i += lanes) {
    // Little-endian: the even element is the low half.
    const auto pair =
        hn::BitCast(d, hn::LoadU(hn::Repartition<uint8_t, decltype(d)>(), codes + 2 * i));
    hn::StoreU(hn::TruncateTo(d_packed, hn::Or(pair, hn::ShiftRight<4>(pair))), d_packed,
               packed + i);
  }
#endif
  for (; i < pairs; ++i) {
    uint16_t pair;
    std::memcpy(&pair, codes + 2 * i, sizeof pair);
    packed[i] = static_cast<uint8_t>(pair | pair >> 4);
  }
}

void EncodeInt4Kernel(const double* numbers, size_t group, const float* scales, size_t groups,
                      uint8_t* codes, double* stored) {
  constexpr size_t kPieceElements = 256;
  uint8_t one_each[kPieceElements];
  for (size_t g = 0; g < groups; ++g) {
    for (size_t done = 0; done < group;) {
      const size_t here = std::min(kPieceElements, group - done);
      RoundKernel(numbers, here, static_cast<double>(scales[g]), kLowestCode, kHighestCode,
                  -kLowestCode, one_each, stored);
      PackKernel(one_each, here / 2, codes);
      numbers += here;
      stored += here;
      codes += here / 2;
      done += here;
    }
  }
}

}  // namespace
}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(AllWithinKernel);
HWY_EXPORT(LargestKernel);
HWY_EXPORT(SpreadOverLanes);
HWY_EXPORT(NormalizeLanes);
HWY_EXPORT(SearchBlocksKernel);
HWY_EXPORT(SumCodesKernel);
HWY_EXPORT(RoundKernel);
HWY_EXPORT(EncodeInt4Kernel);

namespace {

constexpr size_t kBlocksAtOnce = 16;
// Stands for a scale where every code is zero anyway.
constexpr float kScaleOfZeros = 1.0f;

// Where the largest magnitude of a block may come to lie, in steps. Small blocks seldom gain by
// clipping much.
constexpr std::array<float, 12> kBlockSteps = {6.60f, 6.85f, 7.10f, 7.35f, 7.60f, 7.85f,
                                               8.10f, 8.35f, 8.60f, 8.85f, 9.10f, 9.35f};
constexpr std::array<float, 12> kLongBlockSteps = {6.60f, 7.00f, 7.40f, 7.80f,  8.20f,  8.60f,
                                                   9.00f, 9.50f, 10.0f, 10.70f, 11.50f, 12.50f};
// A whole row has outliers worth clipping: each candidate is 6 % beyond the one before.
constexpr size_t kRowSteps = 40;

float UsableScale(float scale, float largest) {
  if (largest == 0.0f) return kScaleOfZeros;
  return std::max(scale, std::numeric_limits<float>::min());
}

}  // namespace

bool AllWithin(std::span<const double> numbers, double limit) {
  return HWY_DYNAMIC_DISPATCH(AllWithinKernel)(numbers.data(), numbers.size(), limit);
}

float Int8ChannelScale(std::span<const double> row) {
  const double largest = HWY_DYNAMIC_DISPATCH(LargestKernel)(row.data(), row.size());
  if (largest == 0.0) return kScaleOfZeros;
  return std::max(static_cast<float>(largest / 127.0), std::numeric_limits<float>::min());
}

void Int4BlockScales(std::span<const double> numbers, size_t block_size, std::span<float> scales) {
  const auto spread = HWY_DYNAMIC_DISPATCH(SpreadOverLanes);
  const auto normalize = HWY_DYNAMIC_DISPATCH(NormalizeLanes);
  const auto search = HWY_DYNAMIC_DISPATCH(SearchBlocksKernel);
  const auto& steps = block_size <= 64 ? kBlockSteps : kLongBlockSteps;
  std::vector<float> x(block_size * kBlocksAtOnce);
  for (size_t first = 0; first < scales.size(); first += kBlocksAtOnce) {
    const size_t here = std::min(kBlocksAtOnce, scales.size() - first);
    float largest[kBlocksAtOnce];
    float ratio[kBlocksAtOnce] = {};
    spread(numbers.data() + first * block_size, here * block_size, block_size, x.data());
    normalize(x.data(), block_size, largest);
    search(x.data(), block_size, steps.data(), steps.size(), ratio);
    for (size_t i = 0; i < here; ++i) {
      const float scale = Bf16BitsToFloat(FloatToBf16Bits(largest[i] * ratio[i]));
      scales[first + i] = UsableScale(scale, largest[i]);
    }
  }
}

float Int4ChannelScale(std::span<const double> row) {
  const size_t part = (row.size() + kBlocksAtOnce - 1) / kBlocksAtOnce;
  std::vector<float> x(part * kBlocksAtOnce);
  HWY_DYNAMIC_DISPATCH(SpreadOverLanes)(row.data(), row.size(), part, x.data());
  const double largest = HWY_DYNAMIC_DISPATCH(LargestKernel)(row.data(), row.size());
  if (largest == 0.0) return kScaleOfZeros;
  const auto to_unit = static_cast<float>(1.0 / largest);
  for (float& number : x) number *= to_unit;

  double best_gain = 0.0;
  double best_ratio = 0.0;
  float step = 6.5f;
  for (size_t c = 0; c < kRowSteps; c += 4) {
    std::array<float, 4> steps;
    for (float& s : steps) {
      s = step;
      step *= 1.06f;
    }
    float xq[4][kBlocksAtOnce];
    float qq[4][kBlocksAtOnce];
    HWY_DYNAMIC_DISPATCH(SumCodesKernel)(x.data(), part, steps.data(), xq, qq);
    for (size_t k = 0; k < 4; ++k) {
      double a = 0.0;
      double b = 0.0;
      for (size_t lane = 0; lane < kBlocksAtOnce; ++lane) {
        a += static_cast<double>(xq[k][lane]);
        b += static_cast<double>(qq[k][lane]);
      }
      if (b > 0.0 && a * a / b > best_gain) {
        best_gain = a * a / b;
        best_ratio = a / b;
      }
    }
  }
  return UsableScale(static_cast<float>(largest * best_ratio), 1.0f);
}

void EncodeInt8(std::span<const double> numbers, float scale, int8_t* codes, double* stored) {
  HWY_DYNAMIC_DISPATCH(RoundKernel)
  (numbers.data(), numbers.size(), static_cast<double>(scale), -127.0, 127.0, 0.0,
   reinterpret_cast<uint8_t*>(codes), stored);
}

void EncodeInt4(std::span<const double> numbers, size_t group, std::span<const float> scales,
                uint8_t* codes, double* stored) {
  HWY_DYNAMIC_DISPATCH(EncodeInt4Kernel)
  (numbers.data(), group, scales.data(), scales.size(), codes, stored);
}

}  // namespace graft::converter
#endif  // HWY_ONCE
