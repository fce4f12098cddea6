// SPDX-License-Identifier: Apache-2.0
// LinearState: a weight matrix as operators on slices of its output rows, so that the threads of a
// team share it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/model/packed_weights.h"
#include "runtime/plan/plan.h"
#include "runtime/xnn/linear_operator.h"
#include "schema/result.h"

namespace graft::runtime {

/// One weight matrix and the operators on its slices.
struct LinearState {
  const LinearWeights* weights = nullptr;
  size_t slice_rows = 0;
  size_t slice_count = 0;  ///< below 2^16
  size_t block_rows = 0;   ///< rows of the input that a block has; 0: all
  size_t block_count = 1;
  std::unique_ptr<LinearOperator[]> slices;  ///< for each block those of all slices
};

/// Scales of 1.0 in bf16, as many as the largest matrix of int4 blocks has: XNNPACK looks at scales
/// when it makes an operator.
/// Errors   kOutOfMemory.
Result<PageMemory> UnitScales(const Plan& plan, const PackedWeights& weights);

/// Makes the operators of a step of linears that share an input, for `workers` threads.
/// unit_scales: as UnitScales gives them; not needed any more afterwards.
/// Errors   kOutOfMemory, kUnsupported; each names the tensor.
Result<std::vector<LinearState>> CreateLinears(const Plan& plan, const Step& step,
                                               const PackedWeights& weights, unsigned workers,
                                               const uint16_t* unit_scales);

}  // namespace graft::runtime
