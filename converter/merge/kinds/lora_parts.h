// SPDX-License-Identifier: Apache-2.0
// What a LoRA adapter may hold beside pairs of factors of layers.
#pragma once

#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// The trained rows of the embedding `module`, if there are any.
/// Errors   kMismatch: they do not fit it, or the configuration does not name them.
Status PlanTokens(const AdapterModule& module, AdapterPlanner* planner);

/// LoRA on a bare parameter of `module`, such as the experts of a mixture held in one tensor.
/// Errors   kMismatch: the pair fits none of target_parameters, or several.
///          kUnsupported: nothing shows which way round square experts are stored.
Status PlanParameter(const AdapterModule& module, AdapterPlanner* planner);

}  // namespace graft::converter
