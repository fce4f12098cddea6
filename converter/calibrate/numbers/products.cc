// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/numbers/products.h"

#include <algorithm>
#include <vector>

#include "converter/calibrate/numbers/fixed_math.h"

// The levels of converter/base/vector_levels.h without scalable vectors, which no array holds.
#define HWY_DISABLED_TARGETS                                                                \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_SVE | HWY_SVE2 | \
   HWY_SVE_256 | HWY_SVE2_128)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/calibrate/numbers/products.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace graft::converter::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A tile of sums that stays in registers: rows of a times columns of b.
constexpr size_t kRows = 6, kColumns = 8;
using Tag = hn::CappedTag<double, kColumns>;
using Vector = hn::Vec<Tag>;
constexpr size_t kLanes = hn::MaxLanes(Tag());
constexpr size_t kVectors = kColumns / kLanes;

// sums[r][c] += sum over k of a[k][r] * b[k][c], k ascending. Products are exact.
HWY_INLINE void MultiplyTile(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b,
                             size_t depth, double* HWY_RESTRICT sums) {
  const Tag d;
  Vector sum[kRows][kVectors];
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v)
      sum[r][v] = hn::LoadU(d, sums + r * kColumns + v * kLanes);
  }
  for (size_t k = 0; k < depth; ++k) {
    Vector column[kVectors];
    for (size_t v = 0; v < kVectors; ++v) column[v] = hn::LoadU(d, b + k * kColumns + v * kLanes);
    for (size_t r = 0; r < kRows; ++r) {
      const Vector row = hn::Set(d, a[k * kRows + r]);
      for (size_t v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(row, column[v], sum[r][v]);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kVectors; ++v)
      hn::StoreU(sum[r][v], d, sums + r * kColumns + v * kLanes);
  }
}

// to[k][i] = from[i][k] for `count` rows, zeros for the others.
template <size_t kWidth>
void PackRows(const float* from, size_t stride, size_t count, size_t depth, double* to) {
  for (size_t i = 0; i < kWidth; ++i) {
    for (size_t k = 0; k < depth; ++k) {
      to[k * kWidth + i] = i < count ? static_cast<double>(from[i * stride + k]) : 0.0;
    }
  }
}

void MultiplyTransposedKernel(const float* x, const float* w, size_t rows, size_t in_features,
                              size_t out_features, float* y, size_t y_stride) {
  thread_local std::vector<double> a, b;
  const size_t row_tiles = (rows + kRows - 1) / kRows;
  a.resize(row_tiles * kRows * in_features);
  b.resize(kColumns * in_features);
  for (size_t t = 0; t < row_tiles; ++t) {
    PackRows<kRows>(x + t * kRows * in_features, in_features, std::min(kRows, rows - t * kRows),
                    in_features, a.data() + t * kRows * in_features);
  }
  for (size_t column = 0; column < out_features; column += kColumns) {
    const size_t columns = std::min(kColumns, out_features - column);
    PackRows<kColumns>(w + column * in_features, in_features, columns, in_features, b.data());
    for (size_t t = 0; t < row_tiles; ++t) {
      double sums[kRows * kColumns] = {};
      MultiplyTile(a.data() + t * kRows * in_features, b.data(), in_features, sums);
      for (size_t r = 0; r < std::min(kRows, rows - t * kRows); ++r) {
        for (size_t c = 0; c < columns; ++c) {
          y[(t * kRows + r) * y_stride + column + c] = static_cast<float>(sums[r * kColumns + c]);
        }
      }
    }
  }
}

Vector LoadDoubles(const double* from) { return hn::LoadU(Tag(), from); }
Vector LoadDoubles(const float* from) {
  const Tag d;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Tag>(), from));
}

// Two vectors of columns of kCount rows stay in registers.
template <size_t kCount, class B>
HWY_INLINE void AddProductsTile(const double* a, size_t a_stride, const B* b, size_t b_stride,
                                size_t depth, double* c, size_t c_stride) {
  const Tag d;
  Vector sum[kCount][2];
  for (size_t r = 0; r < kCount; ++r) {
    for (size_t v = 0; v < 2; ++v) sum[r][v] = hn::LoadU(d, c + r * c_stride + v * kLanes);
  }
  for (size_t k = 0; k < depth; ++k) {
    const Vector first = LoadDoubles(b + k * b_stride);
    const Vector second = LoadDoubles(b + k * b_stride + kLanes);
    for (size_t r = 0; r < kCount; ++r) {
      const Vector row = hn::Set(d, a[r * a_stride + k]);
      sum[r][0] = hn::Add(sum[r][0], hn::Mul(row, first));
      sum[r][1] = hn::Add(sum[r][1], hn::Mul(row, second));
    }
  }
  for (size_t r = 0; r < kCount; ++r) {
    for (size_t v = 0; v < 2; ++v) hn::StoreU(sum[r][v], d, c + r * c_stride + v * kLanes);
  }
}

template <class B>
void AddProductsOf(const double* a, size_t a_stride, const B* b, size_t b_stride, size_t rows,
                   size_t depth, size_t columns, double* c, size_t c_stride) {
  size_t j = 0;
  for (; j + 2 * kLanes <= columns; j += 2 * kLanes) {
    size_t r = 0;
    for (; r + kRows <= rows; r += kRows) {
      AddProductsTile<kRows>(a + r * a_stride, a_stride, b + j, b_stride, depth,
                             c + r * c_stride + j, c_stride);
    }
    for (; r < rows; ++r) {
      AddProductsTile<1>(a + r * a_stride, a_stride, b + j, b_stride, depth, c + r * c_stride + j,
                         c_stride);
    }
  }
  for (; j < columns; ++j) {
    for (size_t r = 0; r < rows; ++r) {
      double sum = c[r * c_stride + j];
      for (size_t k = 0; k < depth; ++k) {
        sum += a[r * a_stride + k] * static_cast<double>(b[k * b_stride + j]);
      }
      c[r * c_stride + j] = sum;
    }
  }
}

void AddProductsKernel(const double* a, size_t a_stride, const double* b, size_t b_stride,
                       size_t rows, size_t depth, size_t columns, double* c, size_t c_stride) {
  AddProductsOf(a, a_stride, b, b_stride, rows, depth, columns, c, c_stride);
}

void AddFloatProductsKernel(const double* a, size_t a_stride, const float* b, size_t b_stride,
                            size_t rows, size_t depth, size_t columns, double* c, size_t c_stride) {
  AddProductsOf(a, a_stride, b, b_stride, rows, depth, columns, c, c_stride);
}

template <class From>
void AddScaledOf(double factor, const From* from, size_t count, double* to) {
  const Tag d;
  const Vector factors = hn::Set(d, factor);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::Mul(factors, LoadDoubles(from + i))), d, to + i);
  }
  for (; i < count; ++i) to[i] += factor * static_cast<double>(from[i]);
}

void AddScaledKernel(double factor, const double* from, size_t count, double* to) {
  AddScaledOf(factor, from, count, to);
}

void AddScaledFloatsKernel(double factor, const float* from, size_t count, double* to) {
  AddScaledOf(factor, from, count, to);
}

template <class Number>
double DotOf(const Number* a, const Number* b, size_t count) {
  const Tag d;
  double lanes[kColumns] = {};
  const size_t whole = count / kColumns * kColumns;
  Vector sums[kVectors];
  for (size_t v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (size_t i = 0; i < whole; i += kColumns) {
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t at = i + v * kLanes;
      sums[v] = hn::Add(sums[v], hn::Mul(LoadDoubles(a + at), LoadDoubles(b + at)));
    }
  }
  for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, lanes + v * kLanes);
  for (size_t i = whole; i < count; ++i) {
    lanes[i - whole] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  }
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

double DotKernel(const double* a, const double* b, size_t count) { return DotOf(a, b, count); }

double DotFloatsKernel(const float* a, const float* b, size_t count) { return DotOf(a, b, count); }

void FixedExpsKernel(double* x, size_t count) {
  const Tag d;
  const hn::RebindToSigned<Tag> di;
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vector all = hn::LoadU(d, x + i);
    const Vector number = hn::Min(hn::Max(all, hn::Set(d, -708.0)), hn::Set(d, 709.0));
    const Vector shifted = hn::Add(hn::Mul(number, hn::Set(d, kExp.log2e)), hn::Set(d, kExp.shift));
    const Vector n = hn::Sub(shifted, hn::Set(d, kExp.shift));
    const Vector r = hn::Sub(hn::Sub(number, hn::Mul(n, hn::Set(d, kExp.log2_high))),
                             hn::Mul(n, hn::Set(d, kExp.log2_low)));
    Vector sum = hn::Set(d, kExp.terms[kExp.kTerms - 1]);
    for (size_t t = kExp.kTerms - 1; t-- > 0;) {
      sum = hn::Add(hn::Mul(sum, r), hn::Set(d, kExp.terms[t]));
    }
    // The whole number n stands in the low bits of what was shifted.
    const auto power = hn::ShiftLeft<52>(hn::Add(hn::BitCast(di, shifted), hn::Set(di, 1023)));
    const Vector value = hn::Mul(sum, hn::BitCast(d, power));
    const auto vanishes = hn::Le(all, hn::Set(d, -708.0));
    hn::StoreU(hn::IfThenElse(hn::Eq(all, all), hn::IfThenZeroElse(vanishes, value), all), d,
               x + i);
  }
  for (; i < count; ++i) x[i] = FixedExp(x[i]);
}

}  // namespace
}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(MultiplyTransposedKernel);
HWY_EXPORT(AddProductsKernel);
HWY_EXPORT(AddFloatProductsKernel);
HWY_EXPORT(AddScaledKernel);
HWY_EXPORT(AddScaledFloatsKernel);
HWY_EXPORT(DotKernel);
HWY_EXPORT(DotFloatsKernel);
HWY_EXPORT(FixedExpsKernel);

void MultiplyTransposed(const float* x, const float* w, size_t rows, size_t in_features,
                        size_t out_features, float* y, size_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyTransposedKernel)
  (x, w, rows, in_features, out_features, y, y_stride);
}

void AddProducts(const double* a, size_t a_stride, const double* b, size_t b_stride, size_t rows,
                 size_t depth, size_t columns, double* c, size_t c_stride) {
  HWY_DYNAMIC_DISPATCH(AddProductsKernel)
  (a, a_stride, b, b_stride, rows, depth, columns, c, c_stride);
}

void AddProducts(const double* a, size_t a_stride, const float* b, size_t b_stride, size_t rows,
                 size_t depth, size_t columns, double* c, size_t c_stride) {
  HWY_DYNAMIC_DISPATCH(AddFloatProductsKernel)
  (a, a_stride, b, b_stride, rows, depth, columns, c, c_stride);
}

void AddScaled(double factor, const double* from, size_t count, double* to) {
  HWY_DYNAMIC_DISPATCH(AddScaledKernel)(factor, from, count, to);
}

void AddScaled(double factor, const float* from, size_t count, double* to) {
  HWY_DYNAMIC_DISPATCH(AddScaledFloatsKernel)(factor, from, count, to);
}

double Dot(const double* a, const double* b, size_t count) {
  return HWY_DYNAMIC_DISPATCH(DotKernel)(a, b, count);
}

double Dot(const float* a, const float* b, size_t count) {
  return HWY_DYNAMIC_DISPATCH(DotFloatsKernel)(a, b, count);
}

void FixedExps(double* x, size_t count) { HWY_DYNAMIC_DISPATCH(FixedExpsKernel)(x, count); }

}  // namespace graft::converter
#endif  // HWY_ONCE
