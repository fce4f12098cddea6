// SPDX-License-Identifier: Apache-2.0
// Codes and scales of rounded rows, fitted to each other by what their errors cost.
#pragma once

#include <cstddef>
#include <span>

#include "converter/calibrate/attempt.h"
#include "converter/calibrate/hessian.h"

namespace graft::converter {

/// Lowers eᵀ H e of each row: for each block of columns its scale, then its codes, given all that
/// others leave, `sweeps` times over all blocks. Sets losses.
/// Shapes   numbers [rows, hessian.width]; group: numbers that share a scale.
/// Cost     (1 + sweeps) rows * width^2 multiply-adds; one more for a scale of a whole row.
void RefineCodes(const Hessian& hessian, const CodeRange& range, size_t group,
                 std::span<const double> numbers, int sweeps, Attempt* attempt);

}  // namespace graft::converter
