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
    for (const LinearState& linear : linears_) tasks += linear.slice_count;
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
    return linears_[task.linear].slices[task.slice].Run().ok();
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
      for (size_t slice = 0; slice < linear.slice_count; ++slice) {
        GRAFT_RETURN_IF_ERROR(linear.slices[slice].Prepare(rows(), input, quantization,
                                                           out + slice * linear.slice_rows));
        tasks_.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(slice)});
      }
    }
    return OkStatus();
  }

 private:
  struct SliceTask {
    uint32_t linear, slice;
  };

  uint32_t task_count() const { return static_cast<uint32_t>(tasks_.size()); }

  std::vector<LinearState> linears_;
  std::vector<SliceTask> tasks_;  // of the linears that run
  uint64_t weight_bytes_ = 0;     // packed, of the linears that run
};

// One step for all linears that read what op `first` reads, after one that quantizes it if any of
// them wants that.
void PlanLinears(PlanBuilder& plan, uint32_t first) {
  const int32_t input = plan.op(first).inputs()->Get(0);
  std::vector<uint32_t> ops;
  bool quantized = false;
  for (const uint32_t i : plan.first_readers(input)) {
    const schema::fb::Linear* linear = plan.op(i).attributes_as_Linear();
    if (linear == nullptr) continue;
    plan.MarkPlanned(i);
    ops.push_back(i);
    const auto& tensors = *plan.model().model().tensors();
    quantized =
        quantized || IsQuantized(tensors.Get(static_cast<uint32_t>(linear->weight()))->format());
  }
  const int32_t codes = quantized ? QuantizedForm(plan, first, input) : -1;
  Step& step = plan.AddStep(kLinear, first, {input, codes}, {});
  for (const uint32_t op : ops) step.outputs.push_back(plan.op(op).outputs()->Get(0));
  step.ops = std::move(ops);
}

}  // namespace

const StepKind kLinear = {.name = "linears",
                          .division = Division::kTasks,
                          .reads_weights = true,
                          .make = MakeRunner<Linears>,
                          .plan = PlanLinears};

}  // namespace graft::runtime::ops
