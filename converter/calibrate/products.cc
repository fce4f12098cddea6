// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/products.h"

#include <algorithm>
#include <vector>

// The levels of converter/base/vector_levels.h without scalable vectors, which no array holds.
#define HWY_DISABLED_TARGETS                                                                \
  (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR | HWY_SVE | HWY_SVE2 | \
   HWY_SVE_256 | HWY_SVE2_128)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "converter/calibrate/products.cc"
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

// to[k][i] = from[k][i] for `count` columns, zeros for the others.
template <size_t kWidth>
void PackColumns(const float* from, size_t stride, size_t count, size_t depth, double* to) {
  for (size_t k = 0; k < depth; ++k) {
    for (size_t i = 0; i < kWidth; ++i) {
      to[k * kWidth + i] = i < count ? static_cast<double>(from[k * stride + i]) : 0.0;
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

void AddGramKernel(const float* x, size_t rows, size_t width, size_t begin, size_t end,
                   double* gram) {
  // So many rows at a time that what is packed of them stays in cache.
  constexpr size_t kDepth = 128;
  thread_local std::vector<double> a, b;
  const size_t row_tiles = (end - begin + kRows - 1) / kRows;
  a.resize(row_tiles * kRows * kDepth);
  b.resize(kColumns * kDepth);
  for (size_t k = 0; k < rows; k += kDepth) {
    const size_t depth = std::min(kDepth, rows - k);
    for (size_t t = 0; t < row_tiles; ++t) {
      const size_t i = begin + t * kRows;
      PackColumns<kRows>(x + k * width + i, width, std::min(kRows, end - i), depth,
                         a.data() + t * kRows * kDepth);
    }
    for (size_t column = begin / kColumns * kColumns; column < width; column += kColumns) {
      const size_t columns = std::min(kColumns, width - column);
      PackColumns<kColumns>(x + k * width + column, width, columns, depth, b.data());
      for (size_t t = 0; t < row_tiles; ++t) {
        const size_t i = begin + t * kRows;
        if (i >= column + columns) break;  // below the diagonal from here on
        const size_t tile_rows = std::min(kRows, end - i);
        double sums[kRows * kColumns] = {};
        for (size_t r = 0; r < tile_rows; ++r) {
          std::copy_n(gram + (i + r) * width + column, columns, sums + r * kColumns);
        }
        MultiplyTile(a.data() + t * kRows * kDepth, b.data(), depth, sums);
        for (size_t r = 0; r < tile_rows; ++r) {
          std::copy_n(sums + r * kColumns, columns, gram + (i + r) * width + column);
        }
      }
    }
  }
}

void AddScaledKernel(double factor, const double* HWY_RESTRICT from, size_t count,
                     double* HWY_RESTRICT to) {
  const Tag d;
  const Vector factors = hn::Set(d, factor);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::Mul(factors, hn::LoadU(d, from + i))), d, to + i);
  }
  for (; i < count; ++i) to[i] += factor * from[i];
}

double DotKernel(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, size_t count) {
  const Tag d;
  double lanes[kColumns] = {};
  const size_t whole = count / kColumns * kColumns;
  Vector sums[kVectors];
  for (size_t v = 0; v < kVectors; ++v) sums[v] = hn::Zero(d);
  for (size_t i = 0; i < whole; i += kColumns) {
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t at = i + v * kLanes;
      sums[v] = hn::Add(sums[v], hn::Mul(hn::LoadU(d, a + at), hn::LoadU(d, b + at)));
    }
  }
  for (size_t v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, lanes + v * kLanes);
  for (size_t i = whole; i < count; ++i) lanes[i - whole] += a[i] * b[i];
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace
}  // namespace graft::converter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace graft::converter {

HWY_EXPORT(MultiplyTransposedKernel);
HWY_EXPORT(AddGramKernel);
HWY_EXPORT(AddScaledKernel);
HWY_EXPORT(DotKernel);

void MultiplyTransposed(const float* x, const float* w, size_t rows, size_t in_features,
                        size_t out_features, float* y, size_t y_stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyTransposedKernel)
  (x, w, rows, in_features, out_features, y, y_stride);
}

void AddGram(const float* x, size_t rows, size_t width, size_t begin, size_t end, double* gram) {
  HWY_DYNAMIC_DISPATCH(AddGramKernel)(x, rows, width, begin, end, gram);
}

void AddScaled(double factor, const double* from, size_t count, double* to) {
  HWY_DYNAMIC_DISPATCH(AddScaledKernel)(factor, from, count, to);
}

double Dot(const double* a, const double* b, size_t count) {
  return HWY_DYNAMIC_DISPATCH(DotKernel)(a, b, count);
}

}  // namespace graft::converter
#endif  // HWY_ONCE
