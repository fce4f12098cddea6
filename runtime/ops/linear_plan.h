// SPDX-License-Identifier: Apache-2.0
// For ops that end in a product with a matrix.
#pragma once

#include <cstdint>

namespace graft::runtime {
class PlanBuilder;
}

namespace graft::runtime::ops {

/// Adds the steps of a product of `input`, [rows, width], with the matrix that WeightOf finds of op
/// `op`, into the op's output.
void PlanProduct(PlanBuilder& plan, uint32_t op, int32_t input);

}  // namespace graft::runtime::ops
