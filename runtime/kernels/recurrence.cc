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

void ConvolveImpl(const ConvolutionShape& shape, const float* in, size_t rows, size_t begin,
                  size_t end, float* state, float* out) {
  const size_t in_width = shape.gated ? 3 * shape.width : shape.width;
  for (size_t row = 0; row < rows; ++row)
    ConvolveRow(shape, in + row * in_width, begin, end, state, out + row * shape.width);
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

// Blocks of columns that go together, so that a key's number is set for all of them at once; as many
// as there are registers for.
constexpr size_t kBlocks = kVectors <= 2 ? 2 : 1;

// What the state of some blocks gives for a key and a query: both at once, so that it is read once.
template <size_t kCount>
struct BlockProducts {
  Vector key[kCount], query[kCount];
};

// Where vector v of `blocks` blocks has row k of a state.
HWY_INLINE float* StateAt(float* state, size_t key_dim, size_t k, size_t v) {
  return state + ((v / kVectors) * key_dim + k) * kStateColumns + v % kVectors * kLanes;
}

template <size_t kCount>
HWY_INLINE BlockProducts<kCount> Multiply(float* state, const float* key, const float* query,
                                          size_t key_dim) {
  const Floats d;
  BlockProducts<kCount> even, odd;  // two chains of sums, which do not wait for each other
  for (size_t v = 0; v < kCount; ++v)
    even.key[v] = even.query[v] = odd.key[v] = odd.query[v] = hn::Zero(d);
  const auto step = [&](size_t k, BlockProducts<kCount>& sums) HWY_ATTR {
    const Vector key_k = hn::Set(d, key[k]);
    const Vector query_k = hn::Set(d, query[k]);
    for (size_t v = 0; v < kCount; ++v) {
      const Vector s = hn::Load(d, StateAt(state, key_dim, k, v));
      sums.key[v] = hn::MulAdd(s, key_k, sums.key[v]);
      sums.query[v] = hn::MulAdd(s, query_k, sums.query[v]);
    }
  };
  if constexpr (kCount >= 4) {  // chains enough
    for (size_t k = 0; k < key_dim; ++k) step(k, even);
    return even;
  }
  size_t k = 0;
  for (; k + 2 <= key_dim; k += 2) {
    step(k, even);
    step(k + 1, odd);
  }
  if (k < key_dim) step(k, even);
  for (size_t v = 0; v < kCount; ++v) {
    even.key[v] = hn::Add(even.key[v], odd.key[v]);
    even.query[v] = hn::Add(even.query[v], odd.query[v]);
  }
  return even;
}

// `columns` of them from `begin` on, which are kCount vectors with those that fill up the last.
template <size_t kCount>
HWY_INLINE void DeltaRuleOf(const DeltaColumns& c, size_t begin, size_t columns) {
  const Floats d;
  HWY_ALIGN float values[kCount * kLanes] = {};
  HWY_ALIGN float outs[kCount * kLanes];
  float* const state = c.state + begin * c.key_dim;
  for (size_t row = 0; row < c.rows; ++row) {
    const float* const key = c.key + row * c.stride;
    const DeltaFactors& factors = c.factors[row * c.factors_stride];
    const auto products = Multiply<kCount>(state, key, c.query + row * c.stride, c.key_dim);
    std::copy_n(c.value + row * c.stride + begin, columns, values);
    const Vector decay = hn::Set(d, factors.decay);
    const Vector of_key = hn::Set(d, factors.decay * factors.key);
    const Vector of_query = hn::Set(d, factors.decay * factors.query);
    Vector change[kCount];
    for (size_t v = 0; v < kCount; ++v) {
      const Vector value = hn::Load(d, values + v * kLanes);
      const Vector delta =
          hn::Mul(hn::NegMulAdd(of_key, products.key[v], value), hn::Set(d, factors.beta));
      const Vector out =
          hn::MulAdd(hn::Set(d, factors.query_key), delta, hn::Mul(of_query, products.query[v]));
      hn::Store(out, d, outs + v * kLanes);
      change[v] = hn::Mul(delta, hn::Set(d, factors.key));
    }
    std::copy_n(outs, columns, c.out + row * c.out_stride + begin);
    for (size_t k = 0; k < c.key_dim; ++k) {
      const Vector key_k = hn::Set(d, key[k]);
      for (size_t v = 0; v < kCount; ++v) {
        float* const at = StateAt(state, c.key_dim, k, v);
        hn::Store(hn::MulAdd(key_k, change[v], hn::Mul(decay, hn::Load(d, at))), d, at);
      }
    }
  }
}

void DeltaRuleImpl(const DeltaColumns& c) {
  constexpr size_t kTogether = kBlocks * kStateColumns;
  size_t begin = 0;
  for (; begin + (kBlocks - 1) * kStateColumns < c.columns; begin += kTogether)
    DeltaRuleOf<kBlocks * kVectors>(c, begin, std::min(kTogether, c.columns - begin));
  for (; begin < c.columns; begin += kStateColumns)
    DeltaRuleOf<kVectors>(c, begin, std::min(kStateColumns, c.columns - begin));
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
HWY_EXPORT(DeltaRuleImpl);
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
void DeltaRule(const DeltaColumns& columns) { HWY_DYNAMIC_DISPATCH(DeltaRuleImpl)(columns); }
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
