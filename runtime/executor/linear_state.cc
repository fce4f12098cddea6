// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/linear_state.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/executor/linear_slices.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
Result<PageMemory> UnitScales(const Plan& plan, const PackedWeights& weights) {
  size_t most_scales = 0;
  for (const Step& step : plan.steps()) {
    if (!step.kind->reads_weights) continue;
    for (const uint32_t op : step.ops) {
      const LinearWeights& linear = weights.linear(op);
      if (linear.format != WeightFormat::kInt4Block) continue;
      most_scales =
          std::max(most_scales, linear.out_features * (linear.in_features / linear.block_size));
    }
  }
  GRAFT_ASSIGN_OR_RETURN(PageMemory scales, PageMemory::Allocate(most_scales * sizeof(uint16_t),
                                                                 "the checks of int4 scales"));
  auto* ones = reinterpret_cast<uint16_t*>(scales.data());
  std::fill(ones, ones + most_scales, uint16_t{0x3F80});
  return scales;
}

Result<std::vector<LinearState>> CreateLinears(const Plan& plan, const Step& step,
                                               const PackedWeights& weights, unsigned workers,
                                               const uint16_t* unit_scales) {
  std::vector<LinearState> linears;
  uint64_t group_bytes = 0;
  for (const uint32_t op : step.ops) group_bytes += weights.linear(op).packed_bytes;
  for (const uint32_t op : step.ops) {
    const auto tensor = static_cast<uint32_t>(WeightOf(plan.model(), plan.op(op)).weight);
    const char* name = plan.model().model().tensors()->Get(tensor)->name()->c_str();
    LinearState linear;
    linear.weights = &weights.linear(op);
    const LinearSlices slices = SlicesOf(*linear.weights, group_bytes, workers);
    linear.slice_rows = slices.rows;
    linear.slice_count = slices.count;
    if (step.block_rows != 0) {
      const PlanValue& input = plan.values()[static_cast<size_t>(step.inputs[0])];
      const auto rows = static_cast<size_t>(input.shape[0].size);
      linear.block_rows = step.block_rows;
      linear.block_count = (rows + step.block_rows - 1) / step.block_rows;
    }
    const size_t operators = linear.slice_count * linear.block_count;
    linear.slices.reset(new (std::nothrow) LinearOperator[operators]);
    if (!linear.slices)
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate operators", name);
    const OutputBounds bounds = step.bounds.empty() ? OutputBounds() : step.bounds[linears.size()];
    for (size_t i = 0; i < operators; ++i) {
      const size_t slice = i % linear.slice_count;
      const size_t begin = slice * linear.slice_rows;
      const size_t end = slice + 1 == linear.slice_count ? linear.weights->out_features
                                                         : begin + linear.slice_rows;
      GRAFT_RETURN_IF_ERROR(
          linear.slices[i].Create(name, *linear.weights, begin, end, unit_scales, bounds));
    }
    linears.push_back(std::move(linear));
  }
  return linears;
}

}  // namespace graft::runtime
