// SPDX-License-Identifier: Apache-2.0
// What is added to attention's scores by position: ALiBi, and biases by distance. Included once for
// each Highway target, like vector_math-inl.h.
#if defined(GRAFT_RUNTIME_KERNELS_SCORE_BIASES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef GRAFT_RUNTIME_KERNELS_SCORE_BIASES_INL_H_
#undef GRAFT_RUNTIME_KERNELS_SCORE_BIASES_INL_H_
#else
#define GRAFT_RUNTIME_KERNELS_SCORE_BIASES_INL_H_
#endif

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"

#include "runtime/kernels/attention.h"

HWY_BEFORE_NAMESPACE();
namespace graft::runtime::HWY_NAMESPACE {
namespace {

// Adds what ALiBi says of positions [tile, tile + columns) to the scores of one query vector.
void AddAlibi(const AttentionShape& shape, float slope, size_t tile, size_t columns, float* to) {
  for (size_t j = 0; j < columns; ++j) {
    float bias = slope * static_cast<float>(tile + j);
    if (shape.alibi_rounded) bias = hwy::F32FromBF16(hwy::BF16FromF32(bias));
    to[j] += shape.alibi_scale * bias;
  }
}

// Adds the bias of each distance from `position` to the scores of positions [tile, tile + columns).
void AddPositionBias(const AttentionShape& shape, size_t head, size_t position, size_t tile,
                     size_t columns, float* to) {
  const float* bias = shape.position_bias + head * shape.distances;
  // Column j is at distance tile + j - position: those before `first` take the table's first number,
  // those from `last` on its last.
  const size_t zero = shape.distances_before + tile;  // less `position`: the place of column 0
  const size_t first = zero >= position ? 0 : std::min(columns, position - zero);
  const size_t end = shape.distances + position;
  const size_t last = std::clamp(end > zero ? end - zero : 0, first, columns);
  for (size_t j = 0; j < first; ++j) to[j] += bias[0];
  for (size_t j = first; j < last; ++j) to[j] += bias[zero + j - position];
  for (size_t j = last; j < columns; ++j) to[j] += bias[shape.distances - 1];
}

}  // namespace
}  // namespace graft::runtime::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
