// SPDX-License-Identifier: Apache-2.0
// The delta rule of recurrence.h: a row at a time, or two.
#include <algorithm>

#include "runtime/kernels/recurrence.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runtime/kernels/delta_rule.cc"  // NOLINT
#include "hwy/foreach_target.h"                             // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kStateColumns>;
using Vector = hn::Vec<Floats>;

constexpr size_t kLanes = hn::MaxLanes(Floats());
// Vectors of a block of columns.
constexpr size_t kVectors = kStateColumns / kLanes;

[[maybe_unused]] HWY_INLINE float Dot(const float* a, const float* b, size_t width) {
  const Floats d;
  Vector sum = hn::Zero(d);
  size_t i = 0;
  for (; i + kLanes <= width; i += kLanes)
    sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  if (i < width)
    sum = hn::MulAdd(hn::LoadN(d, a + i, width - i), hn::LoadN(d, b + i, width - i), sum);
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

// Whether two rows at a time are faster: there must be registers for the sums of both.
constexpr bool kHasPairs = kLanes == 16 || HWY_ARCH_ARM_A64;

// The same for two rows.
template <size_t kCount>
HWY_INLINE void MultiplyPair(float* state, const float* key, const float* query, size_t stride,
                             size_t key_dim, BlockProducts<kCount>* first_out,
                             BlockProducts<kCount>* second_out) {
  const Floats d;
  BlockProducts<kCount> first, second;
  for (size_t v = 0; v < kCount; ++v)
    first.key[v] = first.query[v] = second.key[v] = second.query[v] = hn::Zero(d);
  const auto step = [&](size_t k) HWY_ATTR {
    const Vector key0 = hn::Set(d, key[k]);
    const Vector query0 = hn::Set(d, query[k]);
    const Vector key1 = hn::Set(d, key[stride + k]);
    const Vector query1 = hn::Set(d, query[stride + k]);
    for (size_t v = 0; v < kCount; ++v) {
      const Vector s = hn::Load(d, StateAt(state, key_dim, k, v));
      first.key[v] = hn::MulAdd(s, key0, first.key[v]);
      first.query[v] = hn::MulAdd(s, query0, first.query[v]);
      second.key[v] = hn::MulAdd(s, key1, second.key[v]);
      second.query[v] = hn::MulAdd(s, query1, second.query[v]);
    }
  };
  for (size_t k = 0; k < key_dim; ++k) step(k);
  *first_out = first;
  *second_out = second;
}

// `columns` columns, which are kCount vectors with those that fill up the last.
template <size_t kCount>
HWY_INLINE void LoadColumns(const float* from, size_t columns, Vector (&v)[kCount]) {
  const Floats d;
  for (size_t i = 0; i < kCount; ++i) {
    const size_t before = std::min(columns, i * kLanes);
    v[i] = columns == kCount * kLanes
               ? hn::LoadU(d, from + i * kLanes)
               : hn::LoadN(d, from + before, std::min(kLanes, columns - before));
  }
}
template <size_t kCount>
HWY_INLINE void StoreColumns(const Vector (&v)[kCount], size_t columns, float* to) {
  const Floats d;
  for (size_t i = 0; i < kCount; ++i) {
    const size_t before = std::min(columns, i * kLanes);
    if (columns == kCount * kLanes) {
      hn::StoreU(v[i], d, to + i * kLanes);
    } else {
      hn::StoreN(v[i], d, to + before, std::min(kLanes, columns - before));
    }
  }
}

// Multiplies a state by `decay` and adds the changes of kRows rows, each for its own keys.
template <size_t kRows, size_t kCount>
HWY_INLINE void ChangeState(float* state, size_t key_dim, const float* keys, size_t stride,
                            float decay, const Vector (&change)[kRows][kCount]) {
  const Floats d;
  const Vector decays = hn::Set(d, decay);
  for (size_t k = 0; k < key_dim; ++k) {
    Vector key[kRows];
    for (size_t row = 0; row < kRows; ++row) key[row] = hn::Set(d, keys[row * stride + k]);
    for (size_t v = 0; v < kCount; ++v) {
      float* const at = StateAt(state, key_dim, k, v);
      Vector s = hn::Mul(decays, hn::Load(d, at));
      for (size_t row = 0; row < kRows; ++row) s = hn::MulAdd(key[row], change[row][v], s);
      hn::Store(s, d, at);
    }
  }
}

// Rows `row` and the next: the chunked form of the rule, for chunks of two. The first row's change of
// the state reaches the second by the product of their keys, so that the state is read once for both
// and written once.
template <size_t kCount>
HWY_INLINE void DeltaRulePair(const DeltaColumns& c, size_t row, size_t begin, size_t columns) {
  const Floats d;
  float* const state = c.state + begin * c.key_dim;
  const float* const keys = c.key + row * c.stride;
  const float* const queries = c.query + row * c.stride;
  const DeltaFactors& first = c.factors[row * c.factors_stride];
  const DeltaFactors& second = c.factors[(row + 1) * c.factors_stride];
  BlockProducts<kCount> products[2];
  MultiplyPair(state, keys, queries, c.stride, c.key_dim, &products[0], &products[1]);
  const float both = first.decay * second.decay;
  const float scale = second.decay * first.key;
  const float key_key = Dot(keys, keys + c.stride, c.key_dim) * scale * second.key;
  const float query_key = Dot(keys, queries + c.stride, c.key_dim) * scale * second.query;
  Vector values[2][kCount], outs[2][kCount], change[2][kCount];
  LoadColumns(c.value + row * c.stride + begin, columns, values[0]);
  LoadColumns(c.value + (row + 1) * c.stride + begin, columns, values[1]);
  const auto times = [&](float factor, Vector v)
                         HWY_ATTR { return hn::Mul(hn::Set(d, factor), v); };
  for (size_t v = 0; v < kCount; ++v) {
    const Vector held = times(first.decay * first.key, products[0].key[v]);
    const Vector delta = times(first.beta, hn::Sub(values[0][v], held));
    outs[0][v] = hn::MulAdd(hn::Set(d, first.query_key), delta,
                            times(first.decay * first.query, products[0].query[v]));
    const Vector held_next =
        hn::MulAdd(hn::Set(d, key_key), delta, times(both * second.key, products[1].key[v]));
    const Vector next = times(second.beta, hn::Sub(values[1][v], held_next));
    const Vector out =
        hn::MulAdd(hn::Set(d, query_key), delta, times(both * second.query, products[1].query[v]));
    outs[1][v] = hn::MulAdd(hn::Set(d, second.query_key), next, out);
    change[0][v] = times(scale, delta);
    change[1][v] = times(second.key, next);
  }
  StoreColumns(outs[0], columns, c.out + row * c.out_stride + begin);
  StoreColumns(outs[1], columns, c.out + (row + 1) * c.out_stride + begin);
  ChangeState<2>(state, c.key_dim, keys, c.stride, both, change);
}

template <size_t kCount>
HWY_INLINE void DeltaRuleRow(const DeltaColumns& c, size_t row, size_t begin, size_t columns) {
  const Floats d;
  float* const state = c.state + begin * c.key_dim;
  const float* const key = c.key + row * c.stride;
  const DeltaFactors& factors = c.factors[row * c.factors_stride];
  const auto products = Multiply<kCount>(state, key, c.query + row * c.stride, c.key_dim);
  Vector values[kCount], outs[kCount], change[1][kCount];
  LoadColumns(c.value + row * c.stride + begin, columns, values);
  const Vector of_key = hn::Set(d, factors.decay * factors.key);
  const Vector of_query = hn::Set(d, factors.decay * factors.query);
  for (size_t v = 0; v < kCount; ++v) {
    const Vector delta =
        hn::Mul(hn::NegMulAdd(of_key, products.key[v], values[v]), hn::Set(d, factors.beta));
    outs[v] =
        hn::MulAdd(hn::Set(d, factors.query_key), delta, hn::Mul(of_query, products.query[v]));
    change[0][v] = hn::Mul(delta, hn::Set(d, factors.key));
  }
  StoreColumns(outs, columns, c.out + row * c.out_stride + begin);
  ChangeState<1>(state, c.key_dim, key, c.stride, factors.decay, change);
}

// `columns` of them from `begin` on, which are kCount vectors with those that fill up the last.
template <size_t kCount>
HWY_INLINE void DeltaRuleOf(const DeltaColumns& c, size_t begin, size_t columns) {
  size_t row = 0;
  if constexpr (kHasPairs) {
    for (; c.by_pairs && row + 2 <= c.rows; row += 2) DeltaRulePair<kCount>(c, row, begin, columns);
  }
  for (; row < c.rows; ++row) DeltaRuleRow<kCount>(c, row, begin, columns);
}

void DeltaRuleImpl(const DeltaColumns& c) {
  constexpr size_t kTogether = kBlocks * kStateColumns;
  size_t begin = 0;
  for (; begin + (kBlocks - 1) * kStateColumns < c.columns; begin += kTogether)
    DeltaRuleOf<kBlocks * kVectors>(c, begin, std::min(kTogether, c.columns - begin));
  for (; begin < c.columns; begin += kStateColumns)
    DeltaRuleOf<kVectors>(c, begin, std::min(kStateColumns, c.columns - begin));
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::runtime {
HWY_EXPORT(DeltaRuleImpl);

void DeltaRule(const DeltaColumns& columns) { HWY_DYNAMIC_DISPATCH(DeltaRuleImpl)(columns); }

}  // namespace graft::runtime
#endif  // HWY_ONCE
