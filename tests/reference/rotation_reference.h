// SPDX-License-Identifier: Apache-2.0
// Orthogonal adapters with whole matrices, as their papers write them.
#pragma once

#include <cstdint>
#include <vector>

namespace graft::reference {

/// The Cayley transform (I - s)(I + s)^-1 of a skew-symmetric matrix of side n, as the limit of a
/// series in powers of s.
/// Requires every row of |s| to sum to less than 1/2.
std::vector<double> Cayley(const std::vector<double>& s, int64_t n);

/// Blocks of side n along the diagonal of a matrix of side `side`; the first is repeated if there
/// is only one.
std::vector<double> BlockDiagonal(const std::vector<std::vector<double>>& blocks, int64_t n,
                                  int64_t side);

/// a * b for square matrices of side n.
std::vector<double> SquareProduct(const std::vector<double>& a, const std::vector<double>& b,
                                  int64_t n);

/// (r * w^T)^T. Shapes: w [rows, n], r [n, n].
std::vector<double> RotateInputs(const std::vector<double>& w, int64_t rows,
                                 const std::vector<double>& r, int64_t n);

/// PEFT's butterfly permutation as a matrix P of side n with `blocks` runs, each a shuffle of
/// groups of `group` inputs.
std::vector<double> ButterflyMatrix(int64_t n, int64_t blocks, int64_t group);

/// (I - 2 u_1 u_1^T) * ... * (I - 2 u_k u_k^T) as a matrix of side n, each column of `u` scaled to
/// length 1 first; `orthogonal`: and made orthogonal to the columns before it.
/// Shapes: u [n, count].
std::vector<double> Reflections(const std::vector<double>& u, int64_t n, int64_t count,
                                bool orthogonal);

}  // namespace graft::reference
