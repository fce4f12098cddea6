// SPDX-License-Identifier: Apache-2.0
#include "runtime/ops/make_plan.h"

#include <cstddef>
#include <iterator>

#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {

static_assert(std::size(ops::kOps) == static_cast<size_t>(schema::fb::OpAttributes::MAX) + 1,
              "every op of model.fbs has a kind in op_table.h");

Plan MakePlan(const schema::VerifiedModel& model) { return PlanBuilder(model).Build(ops::kOps); }

}  // namespace graft::runtime
