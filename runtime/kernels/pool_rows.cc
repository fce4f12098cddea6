// SPDX-License-Identifier: Apache-2.0
// Plain loops: compilers make vectors of them, and they run once in a whole model.
#include "runtime/kernels/pool_rows.h"

#include <algorithm>

namespace graft::runtime {

void MeanOfRows(const float* x, size_t rows, size_t width, float* y) {
  std::copy(x, x + width, y);
  for (size_t row = 1; row < rows; ++row) {
    const float* from = x + row * width;
    for (size_t j = 0; j < width; ++j) y[j] += from[j];
  }
  const float inverse = 1.0f / static_cast<float>(rows);
  for (size_t j = 0; j < width; ++j) y[j] *= inverse;
}

void MaxOfRows(const float* x, size_t rows, size_t width, float* y) {
  std::copy(x, x + width, y);
  for (size_t row = 1; row < rows; ++row) {
    const float* from = x + row * width;
    for (size_t j = 0; j < width; ++j) y[j] = std::max(y[j], from[j]);
  }
}

}  // namespace graft::runtime
