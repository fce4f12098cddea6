// SPDX-License-Identifier: Apache-2.0
// Gauss and Jordan, column by column.
#include "converter/merge/updates/elimination.h"

#include <algorithm>
#include <cmath>

namespace graft::converter {

bool Eliminate(std::vector<double>* left, std::vector<double>* right, size_t side) {
  std::vector<double>& a = *left;
  std::vector<double>& b = *right;
  const size_t n = side;
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    for (size_t row = column + 1; row < n; ++row) {
      if (std::fabs(a[row * n + column]) > std::fabs(a[pivot * n + column])) pivot = row;
    }
    if (pivot != column) {
      std::swap_ranges(a.data() + pivot * n, a.data() + (pivot + 1) * n, a.data() + column * n);
      std::swap_ranges(b.data() + pivot * n, b.data() + (pivot + 1) * n, b.data() + column * n);
    }
    const double divisor = a[column * n + column];
    if (divisor == 0) return false;
    for (size_t c = 0; c < n; ++c) {
      a[column * n + c] /= divisor;
      b[column * n + c] /= divisor;
    }
    for (size_t row = 0; row < n; ++row) {
      const double factor = a[row * n + column];
      if (row == column || factor == 0) continue;
      for (size_t c = 0; c < n; ++c) {
        a[row * n + c] -= factor * a[column * n + c];
        b[row * n + c] -= factor * b[column * n + c];
      }
    }
  }
  return true;
}

}  // namespace graft::converter
