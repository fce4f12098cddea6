// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan.h"

#include "schema/generated/model_generated.h"

namespace graft::runtime {

const schema::fb::Op& Plan::op(uint32_t index) const {
  return *model_.model().graph()->ops()->Get(index);
}

size_t Plan::rows(int32_t value, const Binding& binding) const {
  const PlanDimension& rows = values_[static_cast<size_t>(value)].shape[0];
  return static_cast<size_t>(rows.symbol >= 0 ? binding[static_cast<size_t>(rows.symbol)]
                                              : rows.size);
}

size_t Plan::row_elements(int32_t value, const Binding& binding) const {
  const PlanValue& planned = values_[static_cast<size_t>(value)];
  if (planned.width != 0) return planned.width;
  size_t elements = 1;
  for (size_t i = 1; i < planned.shape.size(); ++i) {
    const PlanDimension& dimension = planned.shape[i];
    elements *= static_cast<size_t>(
        dimension.symbol >= 0 ? binding[static_cast<size_t>(dimension.symbol)] : dimension.size);
  }
  return elements;
}

}  // namespace graft::runtime
