// SPDX-License-Identifier: Apache-2.0
// EigenDecompose: eigenvalues and eigenvectors of a symmetric matrix.
#pragma once

#include <cstddef>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

struct EigenPairs {
  std::vector<double> values;   ///< Descending.
  std::vector<double> vectors;  ///< Row k is the eigenvector of value k, of length 1.
};

/// Decomposes a symmetric matrix of `side` rows.
/// Errors   kInternal: the iteration does not end, which happens for no finite numbers.
/// Cost     about 9 side^3 multiply-adds.
/// Source   Householder's tridiagonal form and implicit QL steps, as in EISPACK's tred2 and tql2.
Result<EigenPairs> EigenDecompose(std::vector<double> matrix, size_t side);

}  // namespace graft::converter
