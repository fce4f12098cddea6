// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/numbers/integer_products.h"

#include <algorithm>
#include <cstring>

// The levels of converter/base/vector_levels.h without scalable vectors, which no array holds.
#define HWY_DISABLED_TARGETS                                                                \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_SVE | HWY_SVE2 | \
   HWY_SVE_256 | HWY_SVE2_128)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/calibrate/numbers/integer_products.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<int32_t, kPackedColumns>;
using Vector = hn::Vec<Tag>;
using FloatTag = hn::Rebind<float, Tag>;
constexpr size_t kLanes = hn::MaxLanes(Tag());
constexpr size_t kVectors = kPackedColumns / kLanes;
// Rows whose sums stay in registers.
constexpr size_t kRows = kVectors >= 8 ? 2 : 12 / kVectors;

#if HWY_TARGET == HWY_SCALAR  // a lane of 32 bits, and none of two of 16
struct Pair {
  int32_t first, second;
};
template <class B>
HWY_INLINE Pair LoadPairs(const B* from) {
  return {from[0], from[1]};
}
HWY_INLINE Vector MultiplyPairs(const int16_t* row, Pair column) {
  return hn::Set(Tag(), row[0] * column.first + row[1] * column.second);
}
#else
using Pair = hn::Vec<hn::Repartition<int16_t, Tag> >;
HWY_INLINE Pair LoadPairs(const int16_t* from) {
  return hn::LoadU(hn::Repartition<int16_t, Tag>(), from);
}
HWY_INLINE Pair LoadPairs(const int8_t* from) {
  const hn::Repartition<int16_t, Tag> d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<int8_t, decltype(d)>(), from));
}
HWY_INLINE Vector MultiplyPairs(const int16_t* row, Pair column) {
  const Tag d;
  int32_t pair = 0;
  std::memcpy(&pair, row, sizeof(pair));
  return hn::WidenMulPairwiseAdd(d, hn::BitCast(hn::Repartition<int16_t, Tag>(), hn::Set(d, pair)),
                                 column);
}
#endif

// sum[r] = products of a's row r, a[r * row_stride + k * pair_stride], with b [pairs, 32, 2].
template <size_t kCount, class B>
HWY_INLINE void MultiplyTile(const int16_t* a, size_t row_stride, size_t pair_stride, const B* b,
                             size_t pairs, Vector (&sum)[kCount][kVectors]) {
  const Tag d;
  for (size_t r = 0; r < kCount; ++r) {
    for (size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  }
  for (size_t k = 0; k < pairs; ++k) {
    Pair column[kVectors];
    for (size_t v = 0; v < kVectors; ++v)
      column[v] = LoadPairs(b + (k * kPackedColumns + v * kLanes) * 2);
    for (size_t r = 0; r < kCount; ++r) {
      const int16_t* row = a + r * row_stride + k * pair_stride;
      for (size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = hn::Add(sum[r][v], MultiplyPairs(row, column[v]));
      }
    }
  }
}

template <size_t kCount>
void MultiplyRows(const int16_t* x, size_t x_stride, const float* row_scales, const int8_t* packed,
                  const float* scales, size_t pairs, size_t group_pairs, size_t columns, float* y,
                  size_t y_stride) {
  // 32768 products of 255 and 128 stay below 2^31.
  constexpr size_t kMostPairs = 16384;
  const FloatTag df;
  HWY_ALIGN float all[kCount][kPackedColumns] = {};
  for (size_t group = 0; group * group_pairs < pairs; ++group) {
    const size_t end = std::min((group + 1) * group_pairs, pairs);
    for (size_t k = group * group_pairs; k < end; k += kMostPairs) {
      Vector sum[kCount][kVectors];
      MultiplyTile<kCount>(x + 2 * k, x_stride, 2, packed + k * kPackedColumns * 2,
                           std::min(kMostPairs, end - k), sum);
      for (size_t v = 0; v < kVectors; ++v) {
        const auto scale = hn::LoadU(df, scales + group * kPackedColumns + v * kLanes);
        for (size_t r = 0; r < kCount; ++r) {
          float* to = all[r] + v * kLanes;
          const auto product = hn::Mul(hn::ConvertTo(df, sum[r][v]), scale);
          hn::StoreU(hn::Add(hn::LoadU(df, to), product), df, to);
        }
      }
    }
  }
  for (size_t r = 0; r < kCount; ++r) {
    for (size_t c = 0; c < columns; ++c) y[r * y_stride + c] = all[r][c] * row_scales[r];
  }
}

void MultiplyPackedKernel(const int16_t* x, size_t x_stride, const float* row_scales, size_t rows,
                          const int8_t* packed, const float* scales, size_t pairs,
                          size_t group_pairs, size_t columns, float* y, size_t y_stride) {
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    MultiplyRows<kRows>(x + r * x_stride, x_stride, row_scales + r, packed, scales, pairs,
                        group_pairs, columns, y + r * y_stride, y_stride);
  }
  for (; r < rows; ++r) {
    MultiplyRows<1>(x + r * x_stride, x_stride, row_scales + r, packed, scales, pairs, group_pairs,
                    columns, y + r * y_stride, y_stride);
  }
}

template <size_t kCount>
void AddGramRows(const int16_t* a, const int16_t* b, size_t pairs, double* sums) {
  const Tag d;
  Vector sum[kCount][kVectors];
  MultiplyTile<kCount>(a, 2, kPackedColumns * 2, b, pairs, sum);
  HWY_ALIGN int32_t row[kPackedColumns];
  for (size_t r = 0; r < kCount; ++r) {
    for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, row + v * kLanes);
    for (size_t c = 0; c < kPackedColumns; ++c) sums[r * kPackedColumns + c] += row[c];
  }
}

void AddPackedGramKernel(const int16_t* a, const int16_t* b, size_t pairs, double* sums) {
  // 512 products of 2047 and 2047 stay below 2^31; so many pairs stay in the nearest cache.
  constexpr size_t kMostPairs = 128;
  for (size_t k = 0; k < pairs; k += kMostPairs) {
    const size_t count = std::min(kMostPairs, pairs - k);
    const int16_t* rows = a + k * kPackedColumns * 2;
    const int16_t* columns = b + k * kPackedColumns * 2;
    size_t i = 0;
    for (; i + kRows <= kPackedColumns; i += kRows) {
      AddGramRows<kRows>(rows + 2 * i, columns, count, sums + i * kPackedColumns);
    }
    for (; i < kPackedColumns; ++i) {
      AddGramRows<1>(rows + 2 * i, columns, count, sums + i * kPackedColumns);
    }
  }
}

void RoundToCodesKernel(const float* x, size_t count, float inverse, float zero, int16_t* codes) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<int32_t, decltype(d)> di;
  const hn::Rebind<int16_t, decltype(d)> d16;
  const size_t lanes = hn::Lanes(d);
  const auto round = [&](auto numbers) HWY_ATTR {
    const auto code =
        hn::NearestInt(hn::Add(hn::Mul(numbers, hn::Set(d, inverse)), hn::Set(d, zero)));
    const auto within = hn::Min(hn::Max(code, hn::Set(di, -128)), hn::Set(di, 127));
    return hn::DemoteTo(d16, hn::Sub(within, hn::Set(di, static_cast<int32_t>(zero))));
  };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(round(hn::LoadU(d, x + i)), d16, codes + i);
  if (i == count) return;
  HWY_ALIGN float last[hn::MaxLanes(d)] = {};
  HWY_ALIGN int16_t last_codes[hn::MaxLanes(d)];
  std::copy_n(x + i, count - i, last);
  hn::StoreU(round(hn::LoadU(d, last)), d16, last_codes);
  std::copy_n(last_codes, count - i, codes + i);
}

}  // namespace
}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(MultiplyPackedKernel);
HWY_EXPORT(AddPackedGramKernel);
HWY_EXPORT(RoundToCodesKernel);

void MultiplyPacked(const int16_t* x, size_t x_stride, const float* row_scales, size_t rows,
                    const int8_t* packed, const float* scales, size_t pairs, size_t group_pairs,
                    size_t columns, float* y, size_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyPackedKernel)
  (x, x_stride, row_scales, rows, packed, scales, pairs, group_pairs, columns, y, y_stride);
}

void AddPackedGram(const int16_t* a, const int16_t* b, size_t pairs, double* sums) {
  HWY_DYNAMIC_DISPATCH(AddPackedGramKernel)(a, b, pairs, sums);
}

void RoundToCodes(const float* x, size_t count, float inverse, float zero, int16_t* codes) {
  HWY_DYNAMIC_DISPATCH(RoundToCodesKernel)(x, count, inverse, zero, codes);
}

}  // namespace graft::converter
#endif  // HWY_ONCE
