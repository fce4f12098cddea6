// SPDX-License-Identifier: Apache-2.0
// A plan is made of a verified model, never of bytes.
#include "runtime/ops/make_plan.h"

graft::Result<size_t> CountSteps(std::span<const uint8_t> bytes) {
  GRAFT_ASSIGN_OR_RETURN(const graft::schema::VerifiedModel model, graft::schema::Verify(bytes));
#ifdef MUST_NOT_COMPILE
  const graft::runtime::Plan plan = graft::runtime::MakePlan(bytes);
#else
  const graft::runtime::Plan plan = graft::runtime::MakePlan(model);
#endif
  return plan.steps().size() + model.file_bytes().size();
}
