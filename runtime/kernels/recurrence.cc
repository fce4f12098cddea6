// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernels/recurrence.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/recurrence.cc"  // NOLINT
#include "hwy/foreach_target.h"                             // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format off: it must come after foreach_target.h
#include "hwy/contrib/math/math-inl.h"
// clang-format on

#include "runtime/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

using Floats = hn::CappedTag<float, kStateColumns>;
using Vector = hn::Vec<Floats>;

constexpr size_t kLanes = hn::MaxLanes(Floats());
// Vectors of a block of columns.
constexpr size_t kVectors = kStateColumns / kLanes;

// Calls f(index, count) for whole vectors, then for what is left.
template <class F>
HWY_INLINE void ForEachVector(size_t begin, size_t end, F f) {
  for (size_t i = begin; i < end; i += kLanes) f(i, std::min(kLanes, end - i));
}

HWY_INLINE Vector Load(const float* from, size_t count) {
  const Floats d;
  return count == kLanes ? hn::LoadU(d, from) : hn::LoadN(d, from, count);
}

HWY_INLINE void Store(Vector v, float* to, size_t count) {
  const Floats d;
  if (count == kLanes) {
    hn::StoreU(v, d, to);
  } else {
    hn::StoreN(v, d, to, count);
  }
}

// A whole vector of columns, from `i` on, in rows one after the other; the last kOlder of them stay in
// registers, and in the state between calls.
template <size_t kOlder, bool kGated>
HWY_INLINE void ConvolveColumns(const ConvolutionShape& shape, const float* in, size_t rows,
                                size_t i, float* state, float* out) {
  const Floats d;
  const size_t width = shape.width;
  const size_t stride = PaddedColumns(width);
  const Vector bias = shape.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, shape.bias + i);
  Vector weight[kOlder + 1], past[kOlder];
  for (size_t j = 0; j <= kOlder; ++j) weight[j] = hn::LoadU(d, shape.weight + j * width + i);
  for (size_t j = 0; j < kOlder; ++j) past[j] = hn::LoadU(d, state + j * stride + i);
  for (size_t row = 0; row < rows; ++row) {
    const float* const from = in + row * (kGated ? 3 * width : width) + i;
    Vector u = hn::LoadU(d, from + (kGated ? 2 * width : 0));
    if constexpr (kGated) u = hn::Mul(u, hn::LoadU(d, from));
    Vector sum = bias;
    for (size_t j = 0; j < kOlder; ++j) sum = hn::MulAdd(weight[j], past[j], sum);
    sum = hn::MulAdd(weight[kOlder], u, sum);
    if constexpr (kGated) sum = hn::Mul(sum, hn::LoadU(d, from + width));
    hn::StoreU(sum, d, out + row * width + i);
    for (size_t j = 0; j + 1 < kOlder; ++j) past[j] = past[j + 1];
    past[kOlder - 1] = u;
  }
  for (size_t j = 0; j < kOlder; ++j) hn::StoreU(past[j], d, state + j * stride + i);
}

// One row: the newest of `taps` rows is what comes in, the others move up by one.
HWY_INLINE void ConvolveRow(const ConvolutionShape& shape, const float* in, size_t begin,
                            size_t end, float* state, float* out) {
  const Floats d;
  const size_t width = shape.width;
  const size_t stride = PaddedColumns(width);
  const size_t older = shape.kernel - 1;
  ForEachVector(begin, end, [&](size_t i, size_t count) HWY_ATTR {
    Vector u = Load(in + (shape.gated ? 2 * width : 0) + i, count);
    if (shape.gated) u = hn::Mul(u, Load(in + i, count));
    Vector sum = shape.bias == nullptr ? hn::Zero(d) : Load(shape.bias + i, count);
    for (size_t j = 0; j < older; ++j) {
      // Rows of the state go on to a whole vector.
      const Vector past = hn::LoadU(d, state + j * stride + i);
      sum = hn::MulAdd(Load(shape.weight + j * width + i, count), past, sum);
      if (j > 0) hn::StoreU(past, d, state + (j - 1) * stride + i);
    }
    hn::StoreU(u, d, state + (older - 1) * stride + i);
    sum = hn::MulAdd(Load(shape.weight + older * width + i, count), u, sum);
    if (shape.gated) sum = hn::Mul(sum, Load(in + width + i, count));
    Store(sum, out + i, count);
  });
}

// As many rows at a time as a CPU follows streams of memory.
template <size_t kOlder, bool kGated>
void ConvolveWhole(const ConvolutionShape& shape, const float* in, size_t rows, size_t begin,
                   size_t end, float* state, float* out) {
  constexpr size_t kRowsAtOnce = 8;
  const size_t in_width = kGated ? 3 * shape.width : shape.width;
  for (size_t row = 0; row < rows; row += kRowsAtOnce) {
    for (size_t i = begin; i < end; i += kLanes) {
      ConvolveColumns<kOlder, kGated>(shape, in + row * in_width, std::min(kRowsAtOnce, rows - row),
                                      i, state, out + row * shape.width);
    }
  }
}

void ConvolveImpl(const ConvolutionShape& shape, const float* in, size_t rows, size_t begin,
                  size_t end, float* state, float* out) {
  const size_t whole = begin + (end - begin) / kLanes * kLanes;
  const size_t in_width = shape.gated ? 3 * shape.width : shape.width;
  size_t done = whole;
  // Kernels of 3 (LFM2) and of 4 (the others) keep their rows in registers.
  if (shape.kernel == 3 && shape.gated) {
    ConvolveWhole<2, true>(shape, in, rows, begin, whole, state, out);
  } else if (shape.kernel == 4 && !shape.gated) {
    ConvolveWhole<3, false>(shape, in, rows, begin, whole, state, out);
  } else {
    done = begin;
  }
  if (done == end) return;
  for (size_t row = 0; row < rows; ++row)
    ConvolveRow(shape, in + row * in_width, done, end, state, out + row * shape.width);
}

HWY_INLINE Vector Softplus(Vector x) {
  const Floats d;
  const Vector small = VectorExp(d, hn::Neg(hn::Abs(x)));
  return hn::Add(hn::Max(x, hn::Zero(d)), hn::Log1p(d, small));
}

void SoftplusImpl(const float* x, const float* offset, size_t width, float* y) {
  ForEachVector(0, width, [&](size_t i, size_t count) HWY_ATTR {
    Vector v = Load(x + i, count);
    if (offset != nullptr) v = hn::Add(v, Load(offset + i, count));
    Store(Softplus(v), y + i, count);
  });
}

void ExpImpl(const float* x, size_t width, float* y) {
  ForEachVector(0, width, [&](size_t i, size_t count) HWY_ATTR {
    Store(VectorExp(Floats(), Load(x + i, count)), y + i, count);
  });
}

float DotImpl(const float* a, const float* b, size_t width) {
  const Floats d;
  Vector sum = hn::Zero(d);
  ForEachVector(0, width, [&](size_t i, size_t count) HWY_ATTR {
    sum = hn::MulAdd(Load(a + i, count), Load(b + i, count), sum);
  });
  return hn::ReduceSum(d, sum);
}

void ScanRowImpl(const ScanColumns& row, float* state, float* out) {
  const Floats d;
  HWY_ALIGN float steps[kStateColumns] = {};
  HWY_ALIGN float incoming[kStateColumns] = {};
  HWY_ALIGN float decays[kStateColumns] = {};
  HWY_ALIGN float outs[kStateColumns];
  std::copy_n(row.steps, row.columns, steps);
  for (size_t i = 0; i < row.columns; ++i) incoming[i] = row.steps[i] * row.x[i];
  if (row.decays != nullptr) std::copy_n(row.decays, row.columns, decays);
  for (size_t v = 0; v < kVectors; ++v) {
    const Vector step = hn::Load(d, steps + v * kLanes);
    const Vector in = hn::Load(d, incoming + v * kLanes);
    Vector decay = hn::Load(d, decays + v * kLanes);
    Vector sum = hn::Zero(d);
    for (size_t n = 0; n < row.state_dim; ++n) {
      float* at = state + n * kStateColumns + v * kLanes;
      if (row.decays == nullptr) {
        const Vector rate = hn::LoadU(d, row.rates + n * kStateColumns + v * kLanes);
        decay = VectorExp(d, hn::Mul(step, rate));
      }
      const Vector kept = hn::MulAdd(decay, hn::Load(d, at), hn::Mul(hn::Set(d, row.b[n]), in));
      hn::Store(kept, d, at);
      sum = hn::MulAdd(hn::Set(d, row.c[n]), kept, sum);
    }
    hn::Store(sum, d, outs + v * kLanes);
  }
  for (size_t i = 0; i < row.columns; ++i)
    out[i] = row.skips == nullptr ? outs[i] : outs[i] + row.skips[i] * row.x[i];
}

void AddRowsImpl(const float* factors, size_t count, const float* rows, size_t width, float* y) {
  const Floats d;
  for (size_t row = 0; row < count; ++row) {
    const Vector factor = hn::Set(d, factors[row]);
    const float* from = rows + row * width;
    ForEachVector(0, width, [&](size_t i, size_t n) HWY_ATTR {
      Store(hn::MulAdd(factor, Load(from + i, n), Load(y + i, n)), y + i, n);
    });
  }
}

void RecurrenceFactorsImpl(const float* x, const float* input, const float* gate,
                           const float* rates, bool first, size_t width, float* decay,
                           float* incoming) {
  const Floats d;
  const Vector one = hn::Set(d, 1.0f);
  ForEachVector(0, width, [&](size_t i, size_t count) HWY_ATTR {
    const Vector log_decay =
        hn::Mul(Load(rates + i, count), VectorSigmoid(d, Load(gate + i, count)));
    const Vector a = VectorExp(d, log_decay);
    Vector in = hn::Mul(Load(x + i, count), VectorSigmoid(d, Load(input + i, count)));
    const Vector left = hn::Sub(one, VectorExp(d, hn::Add(log_decay, log_decay)));
    if (!first) in = hn::Mul(in, hn::Sqrt(left));
    Store(a, decay + i, count);
    Store(in, incoming + i, count);
  });
}

void RecurImpl(const float* decay, const float* incoming, size_t width, float* state, float* out) {
  ForEachVector(0, width, [&](size_t i, size_t count) HWY_ATTR {
    const Vector held =
        hn::MulAdd(Load(decay + i, count), Load(state + i, count), Load(incoming + i, count));
    Store(held, state + i, count);
    Store(held, out + i, count);
  });
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(ConvolveImpl);
HWY_EXPORT(SoftplusImpl);
HWY_EXPORT(ExpImpl);
HWY_EXPORT(DotImpl);
HWY_EXPORT(ScanRowImpl);
HWY_EXPORT(AddRowsImpl);
HWY_EXPORT(RecurrenceFactorsImpl);
HWY_EXPORT(RecurImpl);

void ConvolveRows(const ConvolutionShape& shape, const float* in, size_t rows, size_t begin,
                  size_t end, float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(ConvolveImpl)(shape, in, rows, begin, end, state, out);
}
void SoftplusRow(const float* x, const float* offset, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(SoftplusImpl)(x, offset, width, y);
}
void ExpRow(const float* x, size_t width, float* y) { HWY_DYNAMIC_DISPATCH(ExpImpl)(x, width, y); }
float DotRow(const float* a, const float* b, size_t width) {
  return HWY_DYNAMIC_DISPATCH(DotImpl)(a, b, width);
}
void ScanRow(const ScanColumns& row, float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(ScanRowImpl)(row, state, out);
}
void AddRows(const float* factors, size_t count, const float* rows, size_t width, float* y) {
  HWY_DYNAMIC_DISPATCH(AddRowsImpl)(factors, count, rows, width, y);
}
void RecurrenceFactors(const float* x, const float* input, const float* gate, const float* rates,
                       bool first, size_t width, float* decay, float* incoming) {
  HWY_DYNAMIC_DISPATCH(RecurrenceFactorsImpl)
  (x, input, gate, rates, first, width, decay, incoming);
}
void RecurRow(const float* decay, const float* incoming, size_t width, float* state, float* out) {
  HWY_DYNAMIC_DISPATCH(RecurImpl)(decay, incoming, width, state, out);
}

}  // namespace graft::runtime
#endif  // HWY_ONCE
