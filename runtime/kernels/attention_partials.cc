// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/kernels/attention.h"

namespace graft::runtime {
namespace {
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
}  // namespace

float AttentionDivisor(const AttentionShape& shape, size_t head, float maximum, float total) {
  return shape.sinks == nullptr ? total : total + std::exp(shape.sinks[head] - maximum);
}

size_t PartialFloats(const AttentionShape& shape) {
  return shape.heads / shape.kv_heads * (shape.head_dim + 2);
}

void CombinePartials(const AttentionShape& shape, const AttentionRows& rows, size_t row,
                     size_t kv_head, const float* partials, size_t count) {
  const size_t group = shape.heads / shape.kv_heads;
  for (size_t i = 0; i < group; ++i) {
    float* out = rows.out + (row * shape.heads + kv_head * group + i) * shape.head_dim;
    const float* record = partials + i * (shape.head_dim + 2);
    float maximum = kMinusInfinity;
    for (size_t p = 0; p < count; ++p)
      maximum = std::max(maximum, record[p * PartialFloats(shape)]);
    float total = 0.0f;
    std::fill(out, out + shape.head_dim, 0.0f);
    for (size_t p = 0; p < count; ++p) {
      const float* part = record + p * PartialFloats(shape);
      if (part[0] == kMinusInfinity) continue;
      const float factor = std::exp(part[0] - maximum);
      total += factor * part[1];
      for (size_t k = 0; k < shape.head_dim; ++k) out[k] += factor * part[2 + k];
    }
    const float inverse = 1.0f / AttentionDivisor(shape, kv_head * group + i, maximum, total);
    for (size_t k = 0; k < shape.head_dim; ++k) out[k] *= inverse;
  }
}

}  // namespace graft::runtime
