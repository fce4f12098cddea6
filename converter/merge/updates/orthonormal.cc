// SPDX-License-Identifier: Apache-2.0
// Reflections one after another, then their product from the last one on.
#include "converter/merge/updates/orthonormal.h"

#include <cmath>
#include <vector>

namespace graft::converter {
namespace {

// I - factor * v v^T, where v is 1 at `first` and `rest` below.
struct Reflection {
  std::vector<double> vector;
  double factor = 0;
};

// Applies it to rows [first, rows) of columns [from, columns) of a matrix.
void Reflect(const Reflection& reflection, size_t first, size_t from, size_t columns,
             std::span<double> matrix) {
  if (reflection.factor == 0) return;
  for (size_t c = from; c < columns; ++c) {
    double along = 0;
    for (size_t i = 0; i < reflection.vector.size(); ++i) {
      along += reflection.vector[i] * matrix[(first + i) * columns + c];
    }
    for (size_t i = 0; i < reflection.vector.size(); ++i) {
      matrix[(first + i) * columns + c] -= reflection.factor * along * reflection.vector[i];
    }
  }
}

}  // namespace

void MakeOrthonormal(size_t rows, std::span<double> matrix) {
  const size_t columns = matrix.size() / rows;
  std::vector<Reflection> reflections(columns);
  for (size_t k = 0; k < columns; ++k) {
    Reflection& reflection = reflections[k];
    double below = 0;
    for (size_t row = k + 1; row < rows; ++row) {
      below += matrix[row * columns + k] * matrix[row * columns + k];
    }
    reflection.vector.assign(rows - k, 0.0);
    reflection.vector[0] = 1;
    if (below == 0) continue;
    const double head = matrix[k * columns + k];
    const double diagonal = -std::copysign(std::sqrt(head * head + below), head);
    reflection.factor = (diagonal - head) / diagonal;
    for (size_t row = k + 1; row < rows; ++row) {
      reflection.vector[row - k] = matrix[row * columns + k] / (head - diagonal);
    }
    Reflect(reflection, k, k, columns, matrix);
  }
  for (size_t i = 0; i < matrix.size(); ++i) matrix[i] = i / columns == i % columns ? 1 : 0;
  for (size_t k = columns; k-- > 0;) Reflect(reflections[k], k, k, columns, matrix);
}

}  // namespace graft::converter
