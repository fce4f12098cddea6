// SPDX-License-Identifier: Apache-2.0
// Makes the plan of a verified model, of all ops that this build knows.
#pragma once

#include "runtime/plan/plan.h"
#include "schema/verify.h"

namespace graft::runtime {

Plan MakePlan(const schema::VerifiedModel& model);

}  // namespace graft::runtime
