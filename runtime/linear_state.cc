// SPDX-License-Identifier: Apache-2.0
#include "runtime/linear_state.h"

#include <algorithm>
#include <new>
#include <utility>

#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

// Packed bytes of a slice: enough to be worth a ticket, few enough to stay in a near cache while
// all rows pass over it. Decoding reads long streams better than short ones: 1 MiB gave it 5 to 10
// % over 256 KiB and cost prefill nothing that could be measured.
constexpr uint64_t kMinSliceBytes = 24 << 10;
constexpr uint64_t kMaxSliceBytes = 1 << 20;
// Two let a thread that the system puts aside be helped out; each more is another start of a stream
// from memory, which decoding feels.
constexpr size_t kSlicesPerWorker = 2;

}  // namespace

Result<PageMemory> UnitScales(const Plan& plan, const PackedWeights& weights) {
  size_t most_scales = 0;
  for (const Step& step : plan.steps()) {
    if (step.kind != StepKind::kLinears) continue;
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
                                               const PackedWeights& weights, size_t workers,
                                               const PageMemory& unit_scales) {
  std::vector<LinearState> linears;
  uint64_t group_bytes = 0;
  for (const uint32_t op : step.ops) group_bytes += weights.linear(op).packed_bytes;
  const uint64_t slice_bytes =
      std::clamp(group_bytes / (workers * kSlicesPerWorker), kMinSliceBytes, kMaxSliceBytes);
  for (const uint32_t op : step.ops) {
    const auto tensor = static_cast<uint32_t>(plan.op(op).attributes_as_Linear()->weight());
    const char* name = plan.model().model().tensors()->Get(tensor)->name()->c_str();
    LinearState linear;
    linear.weights = &weights.linear(op);
    linear.slice_rows = linear.weights->out_features;
    linear.slice_count = 1;
    if (const size_t tile = linear.weights->tile_rows; tile != 0) {
      // As even as tiles allow; the last slice takes the rest, which may be more or less but is
      // never below a tile.
      const size_t wanted =
          std::max<uint64_t>(1, (linear.weights->packed_bytes + slice_bytes / 2) / slice_bytes);
      const size_t tiles = linear.weights->out_features / tile;
      const size_t slice_tiles = std::max<size_t>(1, (tiles + wanted - 1) / wanted);
      linear.slice_rows = slice_tiles * tile;
      linear.slice_count = std::max<size_t>(1, (tiles + slice_tiles - 1) / slice_tiles);
      linear.slice_count = std::min<size_t>(linear.slice_count, 0xFFFF);
    }
    linear.slices.reset(new (std::nothrow) LinearOperator[linear.slice_count]);
    if (!linear.slices)
      return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate operators", name);
    for (size_t slice = 0; slice < linear.slice_count; ++slice) {
      const size_t begin = slice * linear.slice_rows;
      const size_t end = slice + 1 == linear.slice_count ? linear.weights->out_features
                                                         : begin + linear.slice_rows;
      GRAFT_RETURN_IF_ERROR(
          linear.slices[slice].Create(name, *linear.weights, begin, end,
                                      reinterpret_cast<const uint16_t*>(unit_scales.data())));
    }
    linears.push_back(std::move(linear));
  }
  return linears;
}

}  // namespace graft::runtime
