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

Status CheckOps(const schema::VerifiedModel& model) {
  for (const schema::fb::Op* op : *model.model().graph()->ops()) {
    if (ops::kOps[static_cast<size_t>(op->attributes_type())]->make != nullptr) continue;
    return Error(StatusCode::kUnsupported,
                 "op '%s' is of kind %s, which this build of graft leaves out "
                 "(GRAFT_LEAVE_OUT_OPS)",
                 op->name() == nullptr ? "" : op->name()->c_str(),
                 schema::fb::EnumNameOpAttributes(op->attributes_type()));
  }
  return OkStatus();
}

Plan MakePlan(const schema::VerifiedModel& model) { return PlanBuilder(model).Build(ops::kOps); }

}  // namespace graft::runtime
