// SPDX-License-Identifier: Apache-2.0
// Low-rank update, widening and narrowing: one source, compiled once for each instruction set.
#include "converter/tensors/float_kernels.h"

#include <cstring>

#include "converter/base/vector_levels.h"
#include "converter/tensors/float_formats.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/tensors/float_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<double>;
using Vector = hn::Vec<Tag>;

template <bool kExact>
HWY_INLINE Vector Accumulate(Vector a, Vector b, Vector sum) {
  if constexpr (kExact) return hn::MulAdd(a, b, sum);
  return hn::Add(hn::Mul(a, b), sum);
}

HWY_INLINE void Finish(Tag d, Vector sum, Vector scale, double* out) {
  const Vector delta = hn::Mul(sum, scale);
  const Vector old = hn::LoadU(d, out);
  hn::StoreU(hn::IfThenElse(hn::Eq(delta, hn::Zero(d)), old, hn::Add(old, delta)), d, out);
}

void ScalarColumns(const double* a, size_t a_stride, const double* b, size_t begin, size_t end,
                   size_t rank, double scale, double* out) {
  for (size_t c = begin; c < end; ++c) {
    double sum = 0;
    for (size_t k = 0; k < rank; ++k) {
      const double product = b[k] * a[k * a_stride + c];
      sum = product + sum;
    }
    const double delta = sum * scale;
    if (delta != 0) out[c] += delta;
  }
}

// Four rows by two vectors: eight sums stay in registers while k runs. On its own so that the
// pointers do too.
template <bool kExact>
HWY_NOINLINE void FourRowsTile(const double* HWY_RESTRICT a, size_t a_stride,
                               const double* HWY_RESTRICT b, size_t b_stride, size_t rank,
                               double scale, double* HWY_RESTRICT out, size_t out_stride) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  Vector s00 = hn::Zero(d), s01 = hn::Zero(d), s10 = hn::Zero(d), s11 = hn::Zero(d);
  Vector s20 = hn::Zero(d), s21 = hn::Zero(d), s30 = hn::Zero(d), s31 = hn::Zero(d);
  const double* row1 = b + b_stride;
  const double* row2 = row1 + b_stride;
  const double* row3 = row2 + b_stride;
  for (size_t k = 0; k < rank; ++k, a += a_stride) {
    const Vector a0 = hn::LoadU(d, a);
    const Vector a1 = hn::LoadU(d, a + lanes);
    const Vector b0 = hn::Set(d, b[k]);
    s00 = Accumulate<kExact>(a0, b0, s00);
    s01 = Accumulate<kExact>(a1, b0, s01);
    const Vector b1 = hn::Set(d, row1[k]);
    s10 = Accumulate<kExact>(a0, b1, s10);
    s11 = Accumulate<kExact>(a1, b1, s11);
    const Vector b2 = hn::Set(d, row2[k]);
    s20 = Accumulate<kExact>(a0, b2, s20);
    s21 = Accumulate<kExact>(a1, b2, s21);
    const Vector b3 = hn::Set(d, row3[k]);
    s30 = Accumulate<kExact>(a0, b3, s30);
    s31 = Accumulate<kExact>(a1, b3, s31);
  }
  const Vector s = hn::Set(d, scale);
  Finish(d, s00, s, out);
  Finish(d, s01, s, out + lanes);
  Finish(d, s10, s, out + out_stride);
  Finish(d, s11, s, out + out_stride + lanes);
  Finish(d, s20, s, out + 2 * out_stride);
  Finish(d, s21, s, out + 2 * out_stride + lanes);
  Finish(d, s30, s, out + 3 * out_stride);
  Finish(d, s31, s, out + 3 * out_stride + lanes);
}

template <bool kExact>
void FourRows(const double* HWY_RESTRICT a, size_t a_stride, const double* HWY_RESTRICT b,
              size_t b_stride, size_t columns, size_t rank, double scale, double* HWY_RESTRICT out,
              size_t out_stride) {
  const size_t width = 2 * hn::Lanes(Tag());
  size_t c = 0;
  for (; c + width <= columns; c += width) {
    FourRowsTile<kExact>(a + c, a_stride, b, b_stride, rank, scale, out + c, out_stride);
  }
  for (size_t r = 0; r < 4; ++r) {
    ScalarColumns(a, a_stride, b + r * b_stride, c, columns, rank, scale, out + r * out_stride);
  }
}

template <bool kExact>
void OneRow(const double* HWY_RESTRICT a, size_t a_stride, const double* HWY_RESTRICT b,
            size_t columns, size_t rank, double scale, double* HWY_RESTRICT out) {
  const Tag d;
  const size_t lanes = hn::Lanes(d);
  const Vector s = hn::Set(d, scale);
  size_t c = 0;
  for (; c + lanes <= columns; c += lanes) {
    Vector sum = hn::Zero(d);
    for (size_t k = 0; k < rank; ++k) {
      sum = Accumulate<kExact>(hn::LoadU(d, a + k * a_stride + c), hn::Set(d, b[k]), sum);
    }
    Finish(d, sum, s, out + c);
  }
  ScalarColumns(a, a_stride, b, c, columns, rank, scale, out);
}

template <bool kExact>
void LowRankRows(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t rows,
                 size_t columns, size_t rank, double scale, double* out, size_t out_stride) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    FourRows<kExact>(a, a_stride, b + r * b_stride, b_stride, columns, rank, scale,
                     out + r * out_stride, out_stride);
  }
  for (; r < rows; ++r) {
    OneRow<kExact>(a, a_stride, b + r * b_stride, columns, rank, scale, out + r * out_stride);
  }
}

}  // namespace

void AddLowRankTarget(const double* a, size_t a_stride, const double* b, size_t b_stride,
                      size_t rows, size_t columns, size_t rank, double scale, bool exact_products,
                      double* out, size_t out_stride) {
  if (exact_products) {
    LowRankRows<true>(a, a_stride, b, b_stride, rows, columns, rank, scale, out, out_stride);
  } else {
    LowRankRows<false>(a, a_stride, b, b_stride, rows, columns, rank, scale, out, out_stride);
  }
}

// Plain loops from here on: the compiler vectorizes them for each target.
namespace {

template <typename Stored, typename Convert>
HWY_INLINE void WidenLoop(const uint8_t* HWY_RESTRICT stored, size_t count,
                          double* HWY_RESTRICT out, Convert convert) {
  for (size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, stored + i * sizeof value, sizeof value);
    out[i] = convert(value);
  }
}

template <typename Stored, typename Convert>
HWY_INLINE void NarrowLoop(const double* HWY_RESTRICT values, size_t count,
                           uint8_t* HWY_RESTRICT stored, Convert convert) {
  for (size_t i = 0; i < count; ++i) {
    const Stored value = convert(values[i]);
    std::memcpy(stored + i * sizeof value, &value, sizeof value);
  }
}

template <typename Stored>
double Direct(Stored value) {
  return static_cast<double>(value);
}

}  // namespace

void WidenTarget(DType dtype, const uint8_t* stored, size_t count, double* out) {
  switch (dtype) {
    case DType::kFloat64:
      std::memcpy(out, stored, count * sizeof(double));
      return;
    case DType::kFloat32:
      return WidenLoop<float>(stored, count, out,
                              [](float v) HWY_ATTR { return static_cast<double>(v); });
    case DType::kFloat16:
      return WidenLoop<uint16_t>(stored, count, out, [](uint16_t v) HWY_ATTR {
        return static_cast<double>(HalfBitsToFloat(v));
      });
    case DType::kBFloat16:
      return WidenLoop<uint16_t>(stored, count, out, [](uint16_t v) HWY_ATTR {
        return static_cast<double>(Bf16BitsToFloat(v));
      });
    case DType::kInt64:
      return WidenLoop<int64_t>(stored, count, out, Direct<int64_t>);
    case DType::kInt32:
      return WidenLoop<int32_t>(stored, count, out, Direct<int32_t>);
    case DType::kInt16:
      return WidenLoop<int16_t>(stored, count, out, Direct<int16_t>);
    case DType::kInt8:
      return WidenLoop<int8_t>(stored, count, out, Direct<int8_t>);
    case DType::kUInt8:
    case DType::kBool:
      return WidenLoop<uint8_t>(stored, count, out, Direct<uint8_t>);
    case DType::kUInt32:
      return WidenLoop<uint32_t>(stored, count, out, Direct<uint32_t>);
    case DType::kFloat8E4M3:
      return WidenLoop<uint8_t>(stored, count, out, [](uint8_t v) HWY_ATTR {
        return static_cast<double>(Float8E4M3BitsToFloat(v));
      });
    case DType::kFloat8E5M2:
      return WidenLoop<uint8_t>(stored, count, out, [](uint8_t v) HWY_ATTR {
        return static_cast<double>(Float8E5M2BitsToFloat(v));
      });
    case DType::kFloat8E8M0:
      return WidenLoop<uint8_t>(stored, count, out, [](uint8_t v) HWY_ATTR {
        return static_cast<double>(Float8E8M0BitsToFloat(v));
      });
  }
}

void NarrowTarget(DType dtype, const double* values, size_t count, uint8_t* stored) {
  switch (dtype) {
    case DType::kFloat32:
      return NarrowLoop<float>(values, count, stored,
                               [](double v) HWY_ATTR { return static_cast<float>(v); });
    case DType::kFloat16:
      return NarrowLoop<uint16_t>(values, count, stored,
                                  [](double v) HWY_ATTR { return DoubleToHalfBits(v); });
    case DType::kBFloat16:
      return NarrowLoop<uint16_t>(values, count, stored,
                                  [](double v) HWY_ATTR { return DoubleToBf16Bits(v); });
    case DType::kFloat64:
    case DType::kInt64:
    case DType::kInt32:
    case DType::kInt16:
    case DType::kInt8:
    case DType::kUInt8:
    case DType::kBool:
    case DType::kUInt32:
    case DType::kFloat8E4M3:
    case DType::kFloat8E5M2:
    case DType::kFloat8E8M0:
      // Integers are never narrowed into: callers copy their bytes.
      std::memcpy(stored, values, count * sizeof(double));
      return;
  }
}

}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(AddLowRankTarget);
HWY_EXPORT(WidenTarget);
HWY_EXPORT(NarrowTarget);

void AddLowRank(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t rows,
                size_t columns, size_t rank, double scale, bool exact_products, double* out,
                size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(AddLowRankTarget)
  (a, a_stride, b, b_stride, rows, columns, rank, scale, exact_products, out, out_stride);
}

void Widen(DType dtype, const uint8_t* stored, size_t count, double* out) {
  HWY_DYNAMIC_DISPATCH(WidenTarget)(dtype, stored, count, out);
}

void Narrow(DType dtype, const double* values, size_t count, uint8_t* stored) {
  HWY_DYNAMIC_DISPATCH(NarrowTarget)(dtype, values, count, stored);
}

}  // namespace graft::converter
#endif  // HWY_ONCE
