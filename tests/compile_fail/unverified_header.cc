// SPDX-License-Identifier: Apache-2.0
// A plan is made of a verified model, never of a FlatBuffer that somebody found in bytes.
#include "runtime/ops/make_plan.h"
#include "schema/generated/model_generated.h"

using FlatModel = graft::schema::fb::Model;

graft::Result<size_t> CountSteps(std::span<const uint8_t> bytes) {
  GRAFT_ASSIGN_OR_RETURN(const graft::schema::VerifiedModel model, graft::schema::Verify(bytes));
#ifdef MUST_NOT_COMPILE
  const auto plan = graft::runtime::MakePlan(*flatbuffers::GetRoot<FlatModel>(bytes.data()));
#else
  const auto plan = graft::runtime::MakePlan(model);
#endif
  return plan.steps().size() + model.file_bytes().size();
}
