// SPDX-License-Identifier: Apache-2.0
// Makes the plan of a verified model, of all ops that this build knows.
#pragma once

#include "runtime/plan/plan.h"
#include "schema/status.h"
#include "schema/verify.h"

namespace graft::runtime {

/// Whether this build has all ops of the model.
/// Errors   kUnsupported: an op is of a group that GRAFT_LEAVE_OUT_OPS left out.
Status CheckOps(const schema::VerifiedModel& model);

/// Requires  CheckOps(model) is OK.
Plan MakePlan(const schema::VerifiedModel& model);

}  // namespace graft::runtime
