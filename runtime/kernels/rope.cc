// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/rope.h"

#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/rope.cc"  // NOLINT
#include "hwy/foreach_target.h"                       // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void RotateHalves(const float* HWY_RESTRICT x, size_t half, const float* HWY_RESTRICT cosines,
                  const float* HWY_RESTRICT sines, float* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= half; i += lanes) {
    const auto a = hn::LoadU(d, x + i);
    const auto b = hn::LoadU(d, x + half + i);
    const auto c = hn::LoadU(d, cosines + i);
    const auto s = hn::LoadU(d, sines + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, y + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, y + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = x[half + i];
    y[i] = a * cosines[i] - b * sines[i];
    y[half + i] = b * cosines[i] + a * sines[i];
  }
}

void RotatePairs(const float* HWY_RESTRICT x, size_t half, const float* HWY_RESTRICT cosines,
                 const float* HWY_RESTRICT sines, float* HWY_RESTRICT y) {
  for (size_t i = 0; i < half; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    y[2 * i] = a * cosines[i] - b * sines[i];
    y[2 * i + 1] = b * cosines[i] + a * sines[i];
  }
}

void RopeImpl(const float* x, size_t heads, size_t head_dim, size_t half, bool interleaved,
              const float* cosines, const float* sines, float* y) {
  for (size_t head = 0; head < heads; ++head, x += head_dim, y += head_dim) {
    if (interleaved) {
      RotatePairs(x, half, cosines, sines, y);
    } else {
      RotateHalves(x, half, cosines, sines, y);
    }
    if (2 * half < head_dim)
      std::memcpy(y + 2 * half, x + 2 * half, (head_dim - 2 * half) * sizeof(float));
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(RopeImpl);

void RopeAngles(int32_t position, const float* inverse_frequencies, size_t half, float magnitude,
                float* cosines, float* sines) {
  for (size_t i = 0; i < half; ++i) {
    const double angle = static_cast<float>(position) * inverse_frequencies[i];
    cosines[i] = static_cast<float>(std::cos(angle) * magnitude);
    sines[i] = static_cast<float>(std::sin(angle) * magnitude);
  }
}

void RopeAnglesByAxis(const int32_t* numbers, const uint8_t* axes, const float* inverse_frequencies,
                      size_t half, float magnitude, float* cosines, float* sines) {
  for (size_t i = 0; i < half; ++i) {
    RopeAngles(numbers[axes[i]], inverse_frequencies + i, 1, magnitude, cosines + i, sines + i);
  }
}

void RopeRow(const float* x, size_t heads, size_t head_dim, size_t half, bool interleaved,
             const float* cosines, const float* sines, float* y) {
  HWY_DYNAMIC_DISPATCH(RopeImpl)(x, heads, head_dim, half, interleaved, cosines, sines, y);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
