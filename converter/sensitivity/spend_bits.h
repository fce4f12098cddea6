// SPDX-License-Identifier: Apache-2.0
// Bytes spent where they save most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace graft::converter {

/// One way to store a matrix.
struct StorageChoice {
  int64_t bytes = 0;
  double divergence = 0.0;
};

/// What was chosen for each matrix, and what that comes to.
struct Spending {
  std::vector<size_t> chosen;
  int64_t bytes = 0;
  double divergence = 0.0;
};

/// A choice for each matrix, in `bytes` together if the smallest ones are; else the smallest ones.
/// From these on, what saves most divergence per byte is bought first. A matrix that is a large part
/// of the whole would find no room in the end: the few largest are tried in each of their ways.
/// Requires each matrix to have a choice.
/// Cost     choices^2 of all matrices, some 64 times.
Spending Spend(std::span<const std::vector<StorageChoice>> matrices, int64_t bytes);

}  // namespace graft::converter
