// SPDX-License-Identifier: Apache-2.0
// Dense and slow on purpose.
#include "tests/reference/rotation_reference.h"

#include <cstddef>

namespace graft::reference {

std::vector<double> SquareProduct(const std::vector<double>& a, const std::vector<double>& b,
                                  int64_t n) {
  const size_t side = static_cast<size_t>(n);
  std::vector<double> product(side * side, 0.0);
  for (size_t i = 0; i < side; ++i) {
    for (size_t j = 0; j < side; ++j) {
      for (size_t k = 0; k < side; ++k) product[i * side + j] += a[i * side + k] * b[k * side + j];
    }
  }
  return product;
}

std::vector<double> Cayley(const std::vector<double>& s, int64_t n) {
  // (I - s) times the geometric series of -s.
  const size_t side = static_cast<size_t>(n);
  std::vector<double> inverse(side * side, 0.0), power(side * side, 0.0), left(side * side);
  for (size_t i = 0; i < side; ++i) power[i * side + i] = 1;
  for (size_t i = 0; i < side * side; ++i) left[i] = power[i] - s[i];
  for (int term = 0; term < 200; ++term) {
    for (size_t i = 0; i < side * side; ++i) inverse[i] += power[i];
    power = SquareProduct(power, s, n);
    for (double& value : power) value = -value;
  }
  return SquareProduct(left, inverse, n);
}

std::vector<double> BlockDiagonal(const std::vector<std::vector<double>>& blocks, int64_t n,
                                  int64_t side) {
  const size_t width = static_cast<size_t>(side), block_width = static_cast<size_t>(n);
  std::vector<double> matrix(width * width, 0.0);
  for (size_t i = 0; i < width; ++i) {
    const std::vector<double>& block = blocks[blocks.size() == 1 ? 0 : i / block_width];
    for (size_t j = 0; j < block_width; ++j) {
      matrix[i * width + i / block_width * block_width + j] =
          block[i % block_width * block_width + j];
    }
  }
  return matrix;
}

std::vector<double> RotateInputs(const std::vector<double>& w, int64_t rows,
                                 const std::vector<double>& r, int64_t n) {
  const size_t side = static_cast<size_t>(n);
  std::vector<double> rotated(w.size(), 0.0);
  for (size_t o = 0; o < static_cast<size_t>(rows); ++o) {
    for (size_t j = 0; j < side; ++j) {
      for (size_t k = 0; k < side; ++k) rotated[o * side + j] += r[j * side + k] * w[o * side + k];
    }
  }
  return rotated;
}

std::vector<double> ButterflyMatrix(int64_t n, int64_t blocks, int64_t group) {
  const size_t side = static_cast<size_t>(n);
  std::vector<double> matrix(side * side, 0.0);
  const int64_t run = n / blocks;
  const int64_t groups = run / group;
  const int64_t evens = (groups + 1) / 2;
  for (int64_t row = 0; row < n; ++row) {
    const int64_t place = row % run / group;
    const int64_t source = place < evens ? 2 * place : 2 * (place - evens) + 1;
    const int64_t column = row / run * run + source * group + row % group;
    matrix[static_cast<size_t>(row * n + column)] = 1;
  }
  return matrix;
}

std::vector<double> Reflections(const std::vector<double>& u, int64_t n, int64_t count,
                                bool orthogonal) {
  const size_t side = static_cast<size_t>(n), planes = static_cast<size_t>(count);
  std::vector<double> product(side * side, 0.0);
  for (size_t i = 0; i < side; ++i) product[i * side + i] = 1;
  // What is left of the space: I minus the projections on the columns so far.
  std::vector<double> left = product;
  for (size_t k = 0; k < planes; ++k) {
    std::vector<double> normal(side, 0.0);
    double squares = 0;
    for (size_t i = 0; i < side; ++i) {
      for (size_t j = 0; j < side; ++j) normal[i] += left[i * side + j] * u[j * planes + k];
      squares += normal[i] * normal[i];
    }
    std::vector<double> reflection(side * side);
    for (size_t i = 0; i < side * side; ++i) {
      const double projection = normal[i / side] * normal[i % side] / squares;
      reflection[i] = (i / side == i % side ? 1 : 0) - 2 * projection;
      if (orthogonal) left[i] -= projection;
    }
    product = SquareProduct(product, reflection, n);
  }
  return product;
}

}  // namespace graft::reference
