// SPDX-License-Identifier: Apache-2.0
// The kinds of adapter that merge, each defined in its file and entered in one table.
#pragma once

#include "converter/adapter/adapter_kind.h"
#include "converter/merge/plan/adapter_planner.h"

namespace graft::converter {

/// A kind and its planner.
struct PlannedKind : AdapterKind {
  PlanModule plan = nullptr;
};

/// All kinds, those that cannot be merged with the reason.
const AdapterKinds& AllAdapterKinds();

/// The planner of one of AllAdapterKinds.
PlanModule PlannerOf(const AdapterKind& kind);

}  // namespace graft::converter
