// SPDX-License-Identifier: Apache-2.0
// What is drawn is kept in float32, as PEFT has it.
#include "converter/merge/kinds/drawn/projections.h"

#include <algorithm>
#include <cmath>

namespace graft::converter {

Result<LargestLayer> FindLargest(std::string_view role, AdapterPlanner* planner) {
  LargestLayer largest;
  for (const auto& [name, module] : planner->adapter().modules()) {
    const AdapterTensor* tensor = module.Find(role);
    if (tensor == nullptr || name.empty()) continue;
    GRAFT_ASSIGN_OR_RETURN(const LinearLayer layer,
                           FindLinear(module, *tensor, TransposedLayers::kTaken, planner));
    largest.outputs = std::max(largest.outputs, layer.outputs);
    largest.inputs = std::max(largest.inputs, layer.inputs);
  }
  return largest;
}

Result<const DrawnPair::Numbers*> DrawnPair::Get() const {
  std::call_once(once_, [this] { drawn_ = draw_(&numbers_); });
  GRAFT_RETURN_IF_ERROR(drawn_);
  return &numbers_;
}

Status Projection::Read(int64_t first, std::span<double> out) const {
  if (drawn_ == nullptr) return stored_.file->ReadElements(*stored_.entry, first, out);
  GRAFT_ASSIGN_OR_RETURN(const DrawnPair::Numbers* numbers, drawn_->Get());
  const std::vector<float>& from = second_ ? numbers->b : numbers->a;
  std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(first), out.size(), out.begin());
  return OkStatus();
}

float KaimingBound(int64_t fan_in, double slope) {
  const double gain = std::sqrt(2.0 / (1 + slope * slope));
  return static_cast<float>(std::sqrt(3.0) * (gain / std::sqrt(static_cast<double>(fan_in))));
}

}  // namespace graft::converter
