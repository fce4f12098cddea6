// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/kv_store.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/kv_store.cc"  // NOLINT
#include "hwy/foreach_target.h"                           // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kKeyBlock>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());

template <typename T>
HWY_INLINE void StoreElements(const KvView& view, size_t position, const float* key,
                              const float* value) {
  const size_t padded_dim = view.padded_dim();
  const auto convert = [](float number) {
    if constexpr (sizeof(T) == 2) {
      return hwy::F16FromF32(number);
    } else {
      return number;
    }
  };
  const Floats d;
  for (size_t head = 0; head < view.kv_heads;
       ++head, key += view.head_dim, value += view.head_dim) {
    T* keys = reinterpret_cast<T*>(view.keys) + head * view.capacity * view.head_dim +
              position / kKeyBlock * kKeyBlock * view.head_dim + position % kKeyBlock;
    T* values = reinterpret_cast<T*>(view.values) + (head * view.capacity + position) * padded_dim;
    size_t k = 0;
    for (; k + kLanes <= view.head_dim; k += kLanes) {
      const Vector numbers = hn::LoadU(d, value + k);
      const Vector key_numbers = hn::LoadU(d, key + k);
      T lane[kLanes];
      if constexpr (sizeof(T) == 2) {
        const hn::Rebind<hwy::float16_t, Floats> dh;
        hn::StoreU(hn::DemoteTo(dh, numbers), dh, values + k);
        hn::StoreU(hn::DemoteTo(dh, key_numbers), dh, lane);
      } else {
        hn::StoreU(numbers, d, values + k);
        hn::StoreU(key_numbers, d, lane);
      }
      for (size_t i = 0; i < kLanes; ++i) keys[(k + i) * kKeyBlock] = lane[i];
    }
    for (; k < view.head_dim; ++k) {
      values[k] = convert(value[k]);
      keys[k * kKeyBlock] = convert(key[k]);
    }
    // The padding takes part in the products: it must be a number.
    for (k = view.head_dim; k < padded_dim; ++k) values[k] = convert(0.0f);
  }
}

// How the numbers of one head become codes.
struct HeadCodes {
  float inverse;  // codes for each unit
  float scale;    // what a code counts for
};

HWY_INLINE HeadCodes CodesOf(const float* HWY_RESTRICT x, size_t count) {
  constexpr float kMost = 127.0f;
  constexpr float kTiny = 1e-30f;  // below it the inverse would not be finite
  const Floats d;
  Vector largest = hn::Zero(d);
  Vector finite = hn::Zero(d);  // 0, or NaN once x holds an infinity or a NaN
  size_t k = 0;
  for (; k + kLanes <= count; k += kLanes) {
    const Vector v = hn::LoadU(d, x + k);
    largest = hn::Max(largest, hn::Abs(v));
    finite = hn::MulAdd(v, hn::Zero(d), finite);
  }
  float most = hn::ReduceMax(d, largest);
  float rest = hn::ReduceSum(d, finite);
  for (; k < count; ++k) {
    most = std::max(most, std::fabs(x[k]));
    rest += x[k] * 0.0f;
  }
  // Such a head is NaN as a whole rather than a number nobody computed.
  if (std::isnan(rest)) return {0.0f, std::numeric_limits<float>::quiet_NaN()};
  return most < kTiny ? HeadCodes{0.0f, 0.0f} : HeadCodes{kMost / most, most / kMost};
}

// codes[k * stride] = code of x[k].
HWY_INLINE void WriteCodes(const float* HWY_RESTRICT x, size_t count, float inverse, size_t stride,
                           int8_t* HWY_RESTRICT codes) {
  const Floats d;
  const hn::Rebind<int8_t, Floats> d8;
  size_t k = 0;
  int8_t lane[kLanes];
  for (; k + kLanes <= count; k += kLanes) {
    const auto code =
        hn::DemoteTo(d8, hn::NearestInt(hn::Mul(hn::LoadU(d, x + k), hn::Set(d, inverse))));
    if (stride == 1) {
      hn::StoreU(code, d8, codes + k);
      continue;
    }
    hn::StoreU(code, d8, lane);
    for (size_t i = 0; i < kLanes; ++i) codes[(k + i) * stride] = lane[i];
  }
  for (; k < count; ++k) {
    const float scaled = x[k] * inverse;
    codes[k * stride] = std::isnan(scaled) ? int8_t{0} : static_cast<int8_t>(std::lrint(scaled));
  }
}

void StoreCodes(const KvView& view, size_t position, const float* key, const float* value) {
  const size_t padded_dim = view.padded_dim();
  for (size_t head = 0; head < view.kv_heads;
       ++head, key += view.head_dim, value += view.head_dim) {
    auto* keys = reinterpret_cast<int8_t*>(view.keys) + head * view.capacity * view.head_dim +
                 position / kKeyBlock * kKeyBlock * view.head_dim + position % kKeyBlock;
    auto* values =
        reinterpret_cast<int8_t*>(view.values) + (head * view.capacity + position) * padded_dim;
    const size_t at = head * view.capacity + position;
    const HeadCodes key_codes = CodesOf(key, view.head_dim);
    const HeadCodes value_codes = CodesOf(value, view.head_dim);
    view.key_scales[at] = key_codes.scale;
    view.value_scales[at] = value_codes.scale;
    WriteCodes(key, view.head_dim, key_codes.inverse, kKeyBlock, keys);
    WriteCodes(value, view.head_dim, value_codes.inverse, 1, values);
    std::fill(values + view.head_dim, values + padded_dim, int8_t{0});
  }
}

void StoreKvImpl(const KvView& view, size_t position, const float* key, const float* value) {
  switch (view.element) {
    case KvElement::kFloat32:
      return StoreElements<float>(view, position, key, value);
    case KvElement::kFloat16:
      return StoreElements<hwy::float16_t>(view, position, key, value);
    case KvElement::kInt8:
      return StoreCodes(view, position, key, value);
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(StoreKvImpl);

void StoreKv(const KvView& view, size_t position, const float* key, const float* value) {
  HWY_DYNAMIC_DISPATCH(StoreKvImpl)(view, position, key, value);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
