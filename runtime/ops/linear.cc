// SPDX-License-Identifier: Apache-2.0
// Linear: the rows are quantized once for all linears that read them, and then all these are
// computed together, so that their slices are shared out among the threads.
#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "runtime/executor/linear_state.h"
#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/model/pack_layout.h"
#include "runtime/ops/linear_plan.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/quantize.h"
#include "runtime/plan/plan_builder.h"
#include "runtime/threads/worker_team.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// How much of the weights that come next is brought near: a part of a second-level cache that
// leaves the rest to what is computed meanwhile.
constexpr uint64_t kAheadBytes = 128 << 10;

// Inputs of a step: the rows, and their quantized form or -1.
class Linears final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    GRAFT_ASSIGN_OR_RETURN(linears_, CreateLinears(source.plan, source.step, source.weights,
                                                   source.workers, source.unit_scales));
    uint64_t tasks = 0;
    for (const LinearState& linear : linears_) tasks += linear.slice_count * linear.block_count;
    if (tasks <= WorkerTeam::kMaxTasks) return OkStatus();
    return Error(StatusCode::kUnsupported,
                 "%zu linear ops of one value make %" PRIu64 " pieces of work, at most %u fit",
                 linears_.size(), tasks, WorkerTeam::kMaxTasks);
  }

  uint32_t CountTasks(CallState& call) override {
    call.shares.Divide(task_count());
    return task_count();
  }

  bool RunTask(CallState& call, uint32_t, unsigned worker) override {
    const SliceTask task = tasks_[call.shares.Take(worker)];
    const LinearState& linear = linears_[task.linear];
    return linear.slices[task.block * linear.slice_count + task.slice].Run().ok();
  }

  std::span<const uint8_t> FirstRead(const CallState& call, unsigned worker) const override {
    const uint32_t first = call.shares.FirstOf(worker, task_count());
    if (first == task_count()) return {};
    const LinearState& linear = linears_[tasks_[first].linear];
    const LinearWeights& weights = *linear.weights;
    const uint64_t offset = tasks_[first].slice * linear.slice_rows * weights.row_bytes;
    return {weights.packed + offset,
            static_cast<size_t>(std::min(kAheadBytes, weights.packed_bytes - offset))};
  }

  uint64_t weight_bytes() const override { return weight_bytes_; }

 protected:
  Status Prepare(const StepPlaces& places) override {
    const auto* floats = places.input<float>(0);
    const auto* codes = places.input<uint8_t>(1);
    const RowQuantization* quantization = nullptr;
    if (codes != nullptr) {
      quantization = reinterpret_cast<const RowQuantization*>(
          codes + QuantizedCodesBytes(rows(), linears_[0].weights->in_features));
    }
    tasks_.clear();
    weight_bytes_ = 0;
    for (size_t i = 0; i < linears_.size(); ++i) {
      LinearState& linear = linears_[i];
      auto* out = places.output<float>(i);
      if (out == nullptr) continue;  // nothing reads it
      weight_bytes_ += linear.weights->packed_bytes;
      const void* input = linear.weights->quantizes_input() ? static_cast<const void*>(codes)
                                                            : static_cast<const void*>(floats);
      GRAFT_RETURN_IF_ERROR(
          PrepareSlices(linear, static_cast<uint32_t>(i), input, quantization, out, places.singly));
    }
    return OkStatus();
  }

 private:
  struct SliceTask {
    uint32_t linear, slice, block;
  };

  // The operators of all slices, on all blocks of rows.
  Status PrepareSlices(LinearState& linear, uint32_t index, const void* input,
                       const RowQuantization* quantization, float* out, bool singly) {
    const LinearWeights& weights = *linear.weights;
    const size_t element_bytes = weights.quantizes_input() ? 1 : sizeof(float);
    const size_t block_rows = linear.block_count == 1 ? rows() : linear.block_rows;
    for (uint32_t block = 0; block < linear.block_count; ++block) {
      const size_t begin = block * block_rows;
      const size_t end = std::min(rows(), begin + block_rows);
      const auto* from =
          static_cast<const uint8_t*>(input) + begin * weights.in_features * element_bytes;
      const RowQuantization* of_block =
          quantization == nullptr ? nullptr : quantization + begin + block * kExtraQuantizations;
      for (uint32_t slice = 0; slice < linear.slice_count; ++slice) {
        GRAFT_RETURN_IF_ERROR(linear.slices[block * linear.slice_count + slice].Prepare(
            end - begin, from, of_block,
            out + begin * weights.out_features + slice * linear.slice_rows, singly));
        tasks_.push_back({index, slice, block});
      }
    }
    return OkStatus();
  }

  uint32_t task_count() const { return static_cast<uint32_t>(tasks_.size()); }

  std::vector<LinearState> linears_;
  std::vector<SliceTask> tasks_;  // of the linears that run
  uint64_t weight_bytes_ = 0;     // packed, of the linears that run
};

const schema::fb::Tensor& WeightTensorOf(const PlanBuilder& plan, uint32_t op) {
  const int32_t weight = WeightOf(plan.model(), plan.op(op)).weight;
  return *plan.model().model().tensors()->Get(static_cast<uint32_t>(weight));
}

// Rows of a block, where weights are so small that threads had too few slices to share, and rows so
// many that they can share these; else 0: they are not divided.
size_t BlockRowsOf(const PlanBuilder& plan, const PlanDimension& rows,
                   const std::vector<uint32_t>& ops) {
  constexpr int64_t kFewestRows = 256;
  constexpr int64_t kMostElements = 1 << 16;
  constexpr size_t kBlocks = 16;
  if (rows.symbol >= 0 || rows.size < kFewestRows) return 0;
  for (const uint32_t op : ops) {
    const auto& shape = *WeightTensorOf(plan, op).shape();
    if (shape.Get(0) > kMostElements / shape.Get(1)) return 0;
  }
  return (static_cast<size_t>(rows.size) + kBlocks - 1) / kBlocks;
}

// A step for `ops`, which are linears that read `input`, after one that quantizes it if any of them
// wants that.
void AddLinears(PlanBuilder& plan, int32_t input, std::vector<uint32_t> ops) {
  bool quantized = false;
  for (const uint32_t op : ops)
    quantized = quantized || IsQuantized(WeightTensorOf(plan, op).format());
  QuantizedRows form;
  form.block_rows = BlockRowsOf(plan, plan.value(input).shape[0], ops);
  const int32_t codes = quantized ? QuantizedForm(plan, ops[0], input, form) : -1;
  Step& step = plan.AddStep(kLinear, ops[0], {input, codes}, {});
  step.block_rows = form.block_rows;
  for (const uint32_t op : ops) {
    OutputBounds& bounds = step.bounds.emplace_back();
    const int32_t output = plan.op(op).outputs()->Get(0);
    // What multiplies blocks keeps no bounds.
    const bool takes_bounds =
        WeightTensorOf(plan, op).format() != schema::fb::TensorFormat::Int4Block;
    step.outputs.push_back(takes_bounds ? plan.TakeClampAfter(output, &bounds) : output);
  }
  step.ops = std::move(ops);
}

// One step for all linears that read what op `first` reads.
void PlanLinears(PlanBuilder& plan, uint32_t first) {
  const int32_t input = plan.op(first).inputs()->Get(0);
  std::vector<uint32_t> ops;
  for (const uint32_t i : plan.first_readers(input)) {
    if (plan.op(i).attributes_as_Linear() == nullptr) continue;
    plan.MarkPlanned(i);
    ops.push_back(i);
  }
  AddLinears(plan, input, std::move(ops));
}

}  // namespace

void PlanProduct(PlanBuilder& plan, uint32_t op, int32_t input) { AddLinears(plan, input, {op}); }

const StepKind kLinear = {.name = "linears",
                          .division = Division::kTasks,
                          .reads_weights = true,
                          .make = MakeRunner<Linears>,
                          .plan = PlanLinears};

}  // namespace graft::runtime::ops
