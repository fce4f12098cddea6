// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan.h"

#include "schema/generated/model_generated.h"

namespace graft::runtime {

const schema::fb::Op& Plan::op(uint32_t index) const {
  return *model_.model().graph()->ops()->Get(index);
}

uint32_t Plan::ChoicesOf(uint32_t index) const {
  const schema::fb::Op& expert_linear = op(index);
  if (expert_linear.attributes_as_ExpertLinear() == nullptr) return 1;
  const auto choices = static_cast<size_t>(expert_linear.inputs()->Get(1));
  return static_cast<uint32_t>(values_[choices].shape[1].size);
}

std::vector<int64_t> Plan::shape(int32_t value, const Binding& binding) const {
  std::vector<int64_t> shape;
  for (const PlanDimension& dimension : values_[static_cast<size_t>(value)].shape)
    shape.push_back(dimension.bound(binding));
  return shape;
}

size_t Plan::rows(int32_t value, const Binding& binding) const {
  return static_cast<size_t>(values_[static_cast<size_t>(value)].shape[0].bound(binding));
}

size_t Plan::row_elements(int32_t value, const Binding& binding) const {
  const PlanValue& planned = values_[static_cast<size_t>(value)];
  if (planned.width != 0) return planned.width;
  size_t elements = 1;
  for (size_t i = 1; i < planned.shape.size(); ++i)
    elements *= static_cast<size_t>(planned.shape[i].bound(binding));
  return elements;
}

}  // namespace graft::runtime
