// SPDX-License-Identifier: Apache-2.0
// MakeOrthonormal: the Q of a QR decomposition.
#pragma once

#include <cstddef>
#include <span>

namespace graft::converter {

/// Puts Q of P = Q R in the place of P, which is [rows, columns]. Each column has the sign that
/// LAPACK gives it.
/// Requires columns <= rows.
/// Source   Householder's reflections, as LAPACK's geqrf and orgqr order them.
void MakeOrthonormal(size_t rows, std::span<double> matrix);

}  // namespace graft::converter
