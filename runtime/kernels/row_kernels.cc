// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/row_kernels.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/row_kernels.cc"  // NOLINT
#include "hwy/foreach_target.h"                              // IWYU pragma: keep
#include "hwy/highway.h"

#include "runtime/kernels/row_quantization-inl.h"
#include "runtime/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// Applies f(index, lanes) so that every element is covered: whole vectors first, kAtOnce at a time so
// that their latencies overlap, then a partial one.
template <size_t kAtOnce = 1, class Whole, class Partial>
HWY_INLINE void ForEachVector(size_t width, Whole whole, Partial partial) {
  const size_t lanes = hn::Lanes(Floats());
  size_t i = 0;
  if constexpr (kAtOnce > 1) {
    for (; i + kAtOnce * lanes <= width; i += kAtOnce * lanes) {
      for (size_t v = 0; v < kAtOnce; ++v) whole(i + v * lanes);
    }
  }
  for (; i + lanes <= width; i += lanes) whole(i);
  if (i < width) partial(i, width - i);
}

template <class F>
HWY_INLINE void Map1(const float* HWY_RESTRICT x, size_t width, float* y, F f) {
  const Floats d;
  ForEachVector(
      width, [&](size_t i) HWY_ATTR { hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i); },
      [&](size_t i, size_t n) HWY_ATTR { hn::StoreN(f(hn::LoadN(d, x + i, n)), d, y + i, n); });
}

template <size_t kAtOnce = 1, class F>
HWY_INLINE void Map2(const float* a, const float* b, size_t width, float* y, F f) {
  const Floats d;
  ForEachVector<kAtOnce>(
      width,
      [&](size_t i) HWY_ATTR { hn::StoreU(f(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, y + i); },
      [&](size_t i, size_t n)
          HWY_ATTR { hn::StoreN(f(hn::LoadN(d, a + i, n), hn::LoadN(d, b + i, n)), d, y + i, n); });
}

// As Map2, four vectors at a time where f is shorter than what counts them.
template <class F>
HWY_INLINE void ShortMap2(const float* a, const float* b, size_t width, float* y, F f) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    const Vector y0 = f(hn::LoadU(d, a + i), hn::LoadU(d, b + i));
    const Vector y1 = f(hn::LoadU(d, a + i + lanes), hn::LoadU(d, b + i + lanes));
    const Vector y2 = f(hn::LoadU(d, a + i + 2 * lanes), hn::LoadU(d, b + i + 2 * lanes));
    const Vector y3 = f(hn::LoadU(d, a + i + 3 * lanes), hn::LoadU(d, b + i + 3 * lanes));
    hn::StoreU(y0, d, y + i);
    hn::StoreU(y1, d, y + i + lanes);
    hn::StoreU(y2, d, y + i + 2 * lanes);
    hn::StoreU(y3, d, y + i + 3 * lanes);
  }
  Map2(a + i, b + i, width - i, y + i, f);
}

// Sum of f over a row, in four independent partial sums: the adds overlap and the rounding error
// stays small.
template <class F>
HWY_INLINE float SumOf(const float* x, size_t width, F f) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  Vector s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 4 * lanes <= width; i += 4 * lanes) {
    s0 = f(s0, hn::LoadU(d, x + i), lanes);
    s1 = f(s1, hn::LoadU(d, x + i + lanes), lanes);
    s2 = f(s2, hn::LoadU(d, x + i + 2 * lanes), lanes);
    s3 = f(s3, hn::LoadU(d, x + i + 3 * lanes), lanes);
  }
  for (; i + lanes <= width; i += lanes) s0 = f(s0, hn::LoadU(d, x + i), lanes);
  if (i < width) s1 = f(s1, hn::LoadN(d, x + i, width - i), width - i);
  return hn::ReduceSum(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

HWY_INLINE float MeanSquare(const float* x, size_t width) {
  const float squares =
      SumOf(x, width, [](Vector sum, Vector v, size_t) HWY_ATTR { return hn::MulAdd(v, v, sum); });
  return squares / static_cast<float>(width);
}

struct Moments {
  float mean, variance;
};

HWY_INLINE Moments MomentsOf(const float* x, size_t width) {
  const auto count = static_cast<float>(width);
  const float mean =
      SumOf(x, width, [](Vector sum, Vector v, size_t) HWY_ATTR { return hn::Add(sum, v); }) /
      count;
  const Vector mean_v = hn::Set(Floats(), mean);
  const float squares = SumOf(x, width, [&](Vector sum, Vector v, size_t n) HWY_ATTR {
    const Vector centered = hn::IfThenElseZero(hn::FirstN(Floats(), n), hn::Sub(v, mean_v));
    return hn::MulAdd(centered, centered, sum);
  });
  return {mean, squares / count};
}

void RmsNormImpl(const float* x, size_t width, const float* weight, size_t group, float epsilon,
                 float* y) {
  const Floats d;
  for (size_t start = 0; start < width; start += group) {
    const Vector factor = hn::Set(d, 1.0f / std::sqrt(MeanSquare(x + start, group) + epsilon));
    ShortMap2(x + start, weight, group, y + start,
              [&](Vector v, Vector w) HWY_ATTR { return hn::Mul(hn::Mul(v, factor), w); });
  }
}

void LayerNormImpl(const float* x, size_t width, const float* weight, const float* bias,
                   float epsilon, float* y) {
  const Floats d;
  const Moments moments = MomentsOf(x, width);
  const Vector mean_v = hn::Set(d, moments.mean);
  const Vector factor = hn::Set(d, 1.0f / std::sqrt(moments.variance + epsilon));
  Map2(x, weight, width, y, [&](Vector v, Vector w) HWY_ATTR {
    return hn::Mul(hn::Mul(hn::Sub(v, mean_v), factor), w);
  });
  if (bias != nullptr)
    Map2(y, bias, width, y, [](Vector v, Vector b) HWY_ATTR { return hn::Add(v, b); });
}

void AddImpl(const float* a, const float* b, size_t width, float* y) {
  ShortMap2(a, b, width, y, [](Vector u, Vector v) HWY_ATTR { return hn::Add(u, v); });
}

void MultiplyImpl(const float* a, const float* b, size_t width, float* y) {
  Map2(a, b, width, y, [](Vector u, Vector v) HWY_ATTR { return hn::Mul(u, v); });
}

void ScaleImpl(const float* x, float factor, size_t width, float* y) {
  const Vector factor_v = hn::Set(Floats(), factor);
  Map1(x, width, y, [&](Vector v) HWY_ATTR { return hn::Mul(v, factor_v); });
}

void AddScaledImpl(const float* x, float factor, size_t width, float* y) {
  const Vector factor_v = hn::Set(Floats(), factor);
  Map2(x, y, width, y, [&](Vector v, Vector sum) HWY_ATTR { return hn::MulAdd(v, factor_v, sum); });
}

void GaussianTopKImpl(const float* x, float deviations, size_t width, float* y) {
  const Floats d;
  const Moments moments = MomentsOf(x, width);
  const Vector cutoff = hn::Set(d, moments.mean + std::sqrt(moments.variance) * deviations);
  Map1(x, width, y, [&](Vector v) HWY_ATTR { return hn::Max(hn::Sub(v, cutoff), hn::Zero(d)); });
}

void MatchRmsImpl(const float* x, const float* reference, float floor, size_t width, float* y) {
  const float wanted = std::sqrt(MeanSquare(reference, width));
  ScaleImpl(x, wanted / std::sqrt(std::max(MeanSquare(x, width), floor)), width, y);
}

// Calls use(f) with the function of one vector that `kind` names.
template <class Use>
HWY_INLINE void WithActivation(Activation kind, Use use) {
  const Floats d;
  switch (kind) {
    case Activation::kSilu:
      return use([d](Vector x) HWY_ATTR { return VectorSilu(d, x); });
    case Activation::kGelu:
      return use([d](Vector x) HWY_ATTR {
        const Vector half = hn::Mul(x, hn::Set(d, 0.5f));
        return hn::MulAdd(half, VectorErf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
      });
    case Activation::kGeluTanh:
      return use([d](Vector x) HWY_ATTR {
        const Vector cube = hn::Mul(hn::Mul(x, x), x);
        const Vector inner =
            hn::Mul(hn::Set(d, 0.79788456080286536f), hn::MulAdd(cube, hn::Set(d, 0.044715f), x));
        const Vector half = hn::Mul(x, hn::Set(d, 0.5f));
        return hn::MulAdd(half, VectorTanh(d, inner), half);
      });
    case Activation::kRelu:
      return use([d](Vector x) HWY_ATTR { return hn::Max(x, hn::Zero(d)); });
    case Activation::kTanh:
      return use([d](Vector x) HWY_ATTR { return VectorTanh(d, x); });
    case Activation::kSigmoid:
      return use([d](Vector x) HWY_ATTR { return VectorSigmoid(d, x); });
    case Activation::kQuickGelu:
      return use([d](Vector x) HWY_ATTR {
        return hn::Mul(x, VectorSigmoid(d, hn::Mul(x, hn::Set(d, 1.702f))));
      });
    case Activation::kReluSquared:
      return use([d](Vector x) HWY_ATTR {
        const Vector positive = hn::Max(x, hn::Zero(d));
        return hn::Mul(positive, positive);
      });
  }
}

void ActivationImpl(Activation kind, const float* x, size_t width, float* y) {
  WithActivation(kind, [&](auto f) HWY_ATTR { Map1(x, width, y, f); });
}

void GatedActivationImpl(Activation kind, const float* gate, const float* up, size_t width,
                         float* y) {
  if (kind == Activation::kSilu) {  // what most models have
    const Floats d;
    return Map2<2>(gate, up, width, y,
                   [d](Vector g, Vector u) HWY_ATTR { return hn::Mul(VectorSilu(d, g), u); });
  }
  WithActivation(kind, [&](auto f) HWY_ATTR {
    Map2(gate, up, width, y, [&](Vector g, Vector u) HWY_ATTR { return hn::Mul(f(g), u); });
  });
}

void XieluImpl(const XieluShape& shape, const float* x, size_t width, float* y) {
  const Floats d;
  const Vector alpha_p = hn::Set(d, shape.alpha_p);
  const Vector alpha_n = hn::Set(d, shape.alpha_n);
  const Vector beta = hn::Set(d, shape.beta);
  const Vector epsilon = hn::Set(d, shape.epsilon);
  Map1(x, width, y, [&](Vector v) HWY_ATTR {
    const Vector above = hn::Mul(alpha_p, hn::Mul(v, v));
    const Vector grown = hn::Sub(VectorExp(d, hn::Min(v, epsilon)), hn::Set(d, 1.0f));
    const Vector below = hn::Mul(alpha_n, hn::Sub(grown, v));
    return hn::MulAdd(beta, v, hn::IfThenElse(hn::Gt(v, hn::Zero(d)), above, below));
  });
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(RmsNormImpl);
HWY_EXPORT(LayerNormImpl);
HWY_EXPORT(AddImpl);
HWY_EXPORT(MultiplyImpl);
HWY_EXPORT(ScaleImpl);
HWY_EXPORT(AddScaledImpl);
HWY_EXPORT(GaussianTopKImpl);
HWY_EXPORT(MatchRmsImpl);
HWY_EXPORT(ActivationImpl);
HWY_EXPORT(GatedActivationImpl);
HWY_EXPORT(XieluImpl);
HWY_EXPORT(QuantizeImpl);

void RmsNormRow(const float* x, size_t width, const float* weight, size_t group, float epsilon,
                float* y) {
  HWY_DYNAMIC_DISPATCH(RmsNormImpl)(x, width, weight, group, epsilon, y);
}
void LayerNormRow(const float* x, size_t width, const float* weight, const float* bias,
                  float epsilon, float* y) {
  HWY_DYNAMIC_DISPATCH(LayerNormImpl)(x, width, weight, bias, epsilon, y);
}
void AddRow(const float* a, const float* b, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(AddImpl)(a, b, width, y);
}
void MultiplyRow(const float* a, const float* b, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(MultiplyImpl)(a, b, width, y);
}
void ScaleRow(const float* x, float factor, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(ScaleImpl)(x, factor, width, y);
}
void AddScaledRow(const float* x, float factor, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(AddScaledImpl)(x, factor, width, y);
}
void GaussianTopKRow(const float* x, float deviations, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(GaussianTopKImpl)(x, deviations, width, y);
}
void MatchRmsRow(const float* x, const float* reference, float floor, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(MatchRmsImpl)(x, reference, floor, width, y);
}
void ActivationRow(Activation kind, const float* x, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(ActivationImpl)(kind, x, width, y);
}
void GatedActivationRow(Activation kind, const float* gate, const float* up, size_t width,
                        float* y) {
  HWY_DYNAMIC_DISPATCH(GatedActivationImpl)(kind, gate, up, width, y);
}
void XieluRow(const XieluShape& shape, const float* x, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(XieluImpl)(shape, x, width, y);
}
void QuantizeRows(const float* x, size_t rows, size_t width, int8_t* codes,
                  RowQuantization* quantization) {
  HWY_DYNAMIC_DISPATCH(QuantizeImpl)(x, rows, width, codes, quantization);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
