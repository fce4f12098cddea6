// SPDX-License-Identifier: Apache-2.0
// Steps that compute each row of their output by itself.
#pragma once

#include <cstddef>

#include "runtime/executor/step_state.h"
#include "runtime/plan/plan.h"

namespace graft::runtime {

/// Computes rows [begin, end) of a step whose by_rows is set. Allocates nothing.
void RunRows(const StepState& s, StepKind kind, const CallState& call, size_t begin, size_t end);

}  // namespace graft::runtime
