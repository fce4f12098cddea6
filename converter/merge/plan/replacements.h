// SPDX-License-Identifier: Apache-2.0
// Tensors that an adapter brings whole: saved modules, trained biases, grown embeddings.
#pragma once

#include <string_view>

#include "converter/adapter/adapter_file.h"
#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// Puts `by` in the place of `tensor`, which belongs to `module`. The number of rows may change
/// where they stand for tokens or classes.
/// Errors   kMismatch: the shapes differ otherwise, or another adapter brought another number of
///          rows.
Status ReplaceTensor(PlannedTensor* tensor, std::string_view module, const AdapterTensor& by,
                     AdapterPlanner* planner);

/// Plans what the adapter says of the embedding and the head it was trained over: PEFT saves them as
/// they were, wrapped or whole, where it adapts them or where the vocabulary grew. They are no
/// change, but what all adapters start from. Comes before all else of any adapter.
/// Errors   kMismatch: they do not fit the base, or another adapter started from others.
Status PlanStarts(AdapterPlanner* planner);

/// Plans the whole tensors of the adapter.
/// Errors   those of ReplaceTensor; kMismatch: one that the base has no place for.
Status PlanReplacements(AdapterPlanner* planner);

/// Plans the weight and bias of a wrapped layer that were saved beside its adapter.
Status PlanBaseLayer(const AdapterModule& module, AdapterPlanner* planner);

}  // namespace graft::converter
