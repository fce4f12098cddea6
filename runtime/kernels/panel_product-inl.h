// SPDX-License-Identifier: Apache-2.0
// Products of a few rows of f32 with a matrix whose columns lie in panels. Included once for each
// target.
#if defined(GRAFT_RUNTIME_KERNELS_PANEL_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_RUNTIME_KERNELS_PANEL_PRODUCT_INL_H_
#undef GRAFT_RUNTIME_KERNELS_PANEL_PRODUCT_INL_H_
#else
#define GRAFT_RUNTIME_KERNELS_PANEL_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kPanel = 16;  // columns that the inner kernel computes together
constexpr size_t kMostRowsAtOnce = 8;
using Floats = hn::CappedTag<float, kPanel>;
using Vector = hn::Vec<Floats>;
constexpr size_t kLanes = hn::MaxLanes(Floats());
constexpr size_t kPanelVectors = kPanel / kLanes;
// As many accumulators as the register file holds beside the operands.
constexpr size_t kRowsAtOnce = kLanes == 16                    ? kMostRowsAtOnce
                               : (kLanes == 8 || HWY_ARCH_ARM) ? 4
                                                               : 2;

HWY_INLINE Vector LoadElements(Floats d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE Vector LoadElements(Floats d, const hwy::float16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, Floats>(), p));
}
HWY_INLINE Vector LoadElements(Floats d, const int8_t* p) {
  const hn::RebindToSigned<Floats> di;
  return hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(hn::Rebind<int8_t, Floats>(), p)));
}

// Neighbouring elements, as vectors.
template <size_t kVectors, typename T>
HWY_INLINE void LoadPanel(const T* p, Vector* to) {
  const Floats d;
#if HWY_ARCH_ARM_A64
  if constexpr (std::is_same_v<T, hwy::float16_t>) {
    const hn::Full128<hwy::float16_t> halves;
    for (size_t v = 0; v < kVectors; v += 2) {
      const auto two = hn::LoadU(halves, p + v * kLanes);
      to[v] = hn::PromoteLowerTo(d, two);
      to[v + 1] = hn::PromoteUpperTo(d, two);
    }
    return;
  }
#endif
  for (size_t v = 0; v < kVectors; ++v) to[v] = LoadElements(d, p + v * kLanes);
}

#if HWY_ARCH_ARM_A64
// sums[i][v] += lane kLane of factors[i] times operand[v]
template <int kLane, size_t kRows, size_t kColumns>
HWY_INLINE void AddLane(const Vector (&factors)[kRows], const Vector (&operand)[kColumns],
                        Vector (&sums)[kRows][kColumns]) {
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t v = 0; v < kColumns; ++v)
      sums[i][v] = Vector(vfmaq_laneq_f32(sums[i][v].raw, operand[v].raw, factors[i].raw, kLane));
  }
}
#endif

// c[i][panel] = c_scale[i] * c[i][panel] + sum over k of a[i][k] * b[k][panel], for kRows rows and
// the first kVectors vectors of kPanels panels, which are panel_stride elements apart in b and
// kPanel apart in c. c_scale null: c is not read.
template <size_t kRows, size_t kPanels, size_t kVectors, typename T>
HWY_INLINE void PanelProduct(const float* HWY_RESTRICT a, size_t a_stride, const T* HWY_RESTRICT b,
                             size_t b_stride, size_t panel_stride, size_t depth,
                             const float* c_scale, float* HWY_RESTRICT c, size_t c_stride) {
  const Floats d;
  constexpr size_t kColumns = kPanels * kVectors;
  Vector sum[kRows][kColumns];
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t v = 0; v < kColumns; ++v) {
      sum[i][v] = c_scale == nullptr ? hn::Zero(d)
                                     : hn::Mul(hn::Set(d, c_scale[i]),
                                               hn::LoadU(d, c + i * c_stride + v * kLanes));
    }
  }
  Vector operand[kColumns];
  const auto load = [&]() HWY_ATTR {
    for (size_t panel = 0; panel < kPanels; ++panel)
      LoadPanel<kVectors>(b + panel * panel_stride, operand + panel * kVectors);
    b += b_stride;
  };
  size_t k = 0;
#if HWY_ARCH_ARM_A64
  // Four factors of a row are one load.
  for (; k + 4 <= depth; k += 4) {
    Vector factors[kRows];
    for (size_t i = 0; i < kRows; ++i) factors[i] = hn::LoadU(d, a + i * a_stride + k);
    load();
    AddLane<0>(factors, operand, sum);
    load();
    AddLane<1>(factors, operand, sum);
    load();
    AddLane<2>(factors, operand, sum);
    load();
    AddLane<3>(factors, operand, sum);
  }
#endif
  for (; k < depth; ++k) {
    load();
    for (size_t i = 0; i < kRows; ++i) {
      const Vector factor = hn::Set(d, a[i * a_stride + k]);
      for (size_t v = 0; v < kColumns; ++v) sum[i][v] = hn::MulAdd(factor, operand[v], sum[i][v]);
    }
  }
  for (size_t i = 0; i < kRows; ++i) {
    for (size_t v = 0; v < kColumns; ++v) hn::StoreU(sum[i][v], d, c + i * c_stride + v * kLanes);
  }
}

// All `columns` (a multiple of kLanes) of kRows rows; of the last panel more may be computed.
template <size_t kRows, typename T>
HWY_INLINE void RowsProduct(const float* a, size_t a_stride, const T* b, size_t b_stride,
                            size_t panel_stride, size_t depth, size_t columns, const float* c_scale,
                            float* c, size_t c_stride) {
  size_t column = 0;
  if constexpr (kLanes == 16) {
    for (; column + 2 * kPanel <= columns;
         column += 2 * kPanel, b += 2 * panel_stride, c += 2 * kPanel) {
      PanelProduct<kRows, 2, kPanelVectors>(a, a_stride, b, b_stride, panel_stride, depth, c_scale,
                                            c, c_stride);
    }
  }
  for (; column < columns; column += kPanel, b += panel_stride, c += kPanel) {
    if constexpr (HWY_ARCH_ARM_A64 && std::is_same_v<T, hwy::float16_t>) {
      if (columns - column <= kPanel / 2) {
        PanelProduct<kRows, 1, kPanelVectors / 2>(a, a_stride, b, b_stride, panel_stride, depth,
                                                  c_scale, c, c_stride);
        return;
      }
    }
    PanelProduct<kRows, 1, kPanelVectors>(a, a_stride, b, b_stride, panel_stride, depth, c_scale, c,
                                          c_stride);
  }
}

template <typename T>
void Product(size_t rows, const float* a, size_t a_stride, const T* b, size_t b_stride,
             size_t panel_stride, size_t depth, size_t columns, const float* c_scale, float* c,
             size_t c_stride) {
  while (rows > 0) {
    const size_t now = std::min(rows, kRowsAtOnce);
    const auto run = [&](auto constant) HWY_ATTR {
      constexpr size_t kRows = decltype(constant)::value;
      if constexpr (kRows <= kRowsAtOnce) {
        RowsProduct<kRows>(a, a_stride, b, b_stride, panel_stride, depth, columns, c_scale, c,
                           c_stride);
      }
    };
    switch (now) {
      case 1:
        run(std::integral_constant<size_t, 1>());
        break;
      case 2:
        run(std::integral_constant<size_t, 2>());
        break;
      case 3:
        run(std::integral_constant<size_t, 3>());
        break;
      case 4:
        run(std::integral_constant<size_t, 4>());
        break;
      case 5:
        run(std::integral_constant<size_t, 5>());
        break;
      case 6:
        run(std::integral_constant<size_t, 6>());
        break;
      case 7:
        run(std::integral_constant<size_t, 7>());
        break;
      default:
        run(std::integral_constant<size_t, 8>());
        break;
    }
    rows -= now;
    a += now * a_stride;
    c += now * c_stride;
    if (c_scale != nullptr) c_scale += now;
  }
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
