// SPDX-License-Identifier: Apache-2.0
// Tensors that an adapter brings whole: saved modules, trained biases, grown embeddings.
#pragma once

#include <string_view>

#include "converter/adapter/adapter_file.h"
#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// Puts `by` in the place of `tensor`, which belongs to `module`. The number of rows may change
/// where they stand for tokens or classes.
/// Errors   kMismatch: the shapes differ otherwise.
///          kUnsupported: rows of a tensor that other adapters change, or of an adapter with a
///          weight other than 1.
Status ReplaceTensor(PlannedTensor* tensor, std::string_view module, const AdapterTensor& by,
                     AdapterPlanner* planner);

/// Plans the whole tensors of the adapter.
/// Errors   those of ReplaceTensor; kMismatch: one that the base has no place for.
Status PlanReplacements(AdapterPlanner* planner);

/// Plans the weight and bias of a wrapped layer that were saved beside its adapter.
Status PlanBaseLayer(const AdapterModule& module, AdapterPlanner* planner);

}  // namespace graft::converter
