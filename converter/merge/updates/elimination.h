// SPDX-License-Identifier: Apache-2.0
// Eliminate: systems of linear equations.
#pragma once

#include <cstddef>
#include <vector>

namespace graft::converter {

/// Puts the X of `left` X = `right` in the place of `right`, both of `side` rows and columns, by
/// elimination with row exchanges. `left` is used up. False if `left` has no inverse.
bool Eliminate(std::vector<double>* left, std::vector<double>* right, size_t side);

}  // namespace graft::converter
