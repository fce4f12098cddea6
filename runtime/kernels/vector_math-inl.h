// SPDX-License-Identifier: Apache-2.0
// Exponential and what follows from it, on Highway vectors of f32. Included once for each target.
#if defined(GRAFT_RUNTIME_KERNELS_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_RUNTIME_KERNELS_VECTOR_MATH_INL_H_
#undef GRAFT_RUNTIME_KERNELS_VECTOR_MATH_INL_H_
#else
#define GRAFT_RUNTIME_KERNELS_VECTOR_MATH_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// e^x within 2 units in the last place for x in [-87.3, 88.3], and the value at the nearer end
// outside; not a number gives something finite on some CPUs. x = n ln 2 + r with |r| <= ln 2 / 2;
// e^r = 1 + r + r^2 p(r), where p interpolates at Chebyshev's nodes and is off by 1e-8.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorExpInRange(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V clamped = hn::Min(hn::Max(x, hn::Set(d, -87.3f)), hn::Set(d, 88.3f));
  const V n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504088896341f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693145751953125f),
                      clamped);  // ln 2 in 15 bits: the product is exact
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860682030941723e-6f), r);
  V p = hn::Set(d, 0x1.6d110ap-10f);
  p = hn::MulAdd(p, r, hn::Set(d, 0x1.120b6ep-7f));
  p = hn::MulAdd(p, r, hn::Set(d, 0x1.55551ap-5f));
  p = hn::MulAdd(p, r, hn::Set(d, 0x1.5554dcp-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(p, hn::BitCast(d, exponent));
}

// The same for every x: 0 below -87.3 (where f32 turns subnormal), inf above 88.7, not a number as
// it is.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorExp(D d, V x) {
  const V result = VectorExpInRange(d, x);
  const V large = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.7f)), hn::Inf(d), result);
  const V small = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), large);
  return hn::IfThenElse(hn::IsNaN(x), x, small);
}

// x / (1 + e^-x). Below -88.3 it is x * 5e-39 instead of something smaller still.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorSilu(D d, V x) {
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), VectorExpInRange(d, hn::Neg(x))));
}

// 1 / (1 + e^-x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorSigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, VectorExp(d, hn::Neg(x))));
}

// tanh x = sign(x) (1 - 2 / (e^2|x| + 1)); below 0.25 by its odd series, where that form would
// cancel.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorTanh(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V magnitude = hn::Abs(x);
  const V e = VectorExp(d, hn::Add(magnitude, magnitude));
  const V large = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));
  const V square = hn::Mul(x, x);
  V series = hn::Set(d, -1382.0f / 155925);
  series = hn::MulAdd(series, square, hn::Set(d, 62.0f / 2835));
  series = hn::MulAdd(series, square, hn::Set(d, -17.0f / 315));
  series = hn::MulAdd(series, square, hn::Set(d, 2.0f / 15));
  series = hn::MulAdd(series, square, hn::Set(d, -1.0f / 3));
  series = hn::MulAdd(series, hn::Mul(square, x), x);
  return hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, 0.25f)), series, hn::CopySign(large, x));
}

// erf x within 4e-7: an odd polynomial over an even one, on the range where the result is not 1.
// Source of the coefficients: Eigen's generic_fast_erf_float, fitted to minimize the largest error.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V VectorErf(D d, V x) {
  const V bounded = hn::Min(hn::Max(x, hn::Set(d, -4.0f)), hn::Set(d, 4.0f));
  const V square = hn::Mul(bounded, bounded);
  V p = hn::Set(d, -2.72614225801306e-10f);
  p = hn::MulAdd(p, square, hn::Set(d, 2.77068142495902e-08f));
  p = hn::MulAdd(p, square, hn::Set(d, -2.10102402082508e-06f));
  p = hn::MulAdd(p, square, hn::Set(d, -5.69250639462346e-05f));
  p = hn::MulAdd(p, square, hn::Set(d, -7.34990630326855e-04f));
  p = hn::MulAdd(p, square, hn::Set(d, -2.95459980854025e-03f));
  p = hn::MulAdd(p, square, hn::Set(d, -1.60960333262415e-02f));
  V q = hn::Set(d, -1.45660718464996e-05f);
  q = hn::MulAdd(q, square, hn::Set(d, -2.13374055278905e-04f));
  q = hn::MulAdd(q, square, hn::Set(d, -1.68282697438203e-03f));
  q = hn::MulAdd(q, square, hn::Set(d, -7.37332916720468e-03f));
  q = hn::MulAdd(q, square, hn::Set(d, -1.42647390514189e-02f));
  return hn::Div(hn::Mul(bounded, p), q);
}

}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard, toggled for each target
