// SPDX-License-Identifier: Apache-2.0
// SelectiveScan, in two steps: steps and decays row by row, and then the states, divided by blocks of
// columns.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "runtime/kernels/recurrence.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/recurrent/state_runner.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

struct ScanShape {
  size_t heads = 0, head_dim = 0, groups = 0, state_dim = 0;
  bool rate_for_each = false;  // of the state's numbers

  ScanShape() = default;
  ScanShape(const schema::fb::SelectiveScan& scan, const schema::VerifiedModel& model)
      : heads(scan.heads()),
        head_dim(scan.head_dim()),
        groups(scan.groups()),
        state_dim(scan.state_dim()) {
    const auto& rates = *model.model().tensors()->Get(static_cast<uint32_t>(scan.rates()));
    rate_for_each = state_dim > 1 && static_cast<size_t>(rates.shape()->Get(0)) != heads;
  }

  size_t width() const { return heads * head_dim; }
  size_t group_width() const { return width() / groups; }
  size_t group_blocks() const { return PaddedColumns(group_width()) / kStateColumns; }
  size_t block_floats() const { return state_dim * kStateColumns; }
  size_t state_floats() const { return groups * group_blocks() * block_floats(); }
};

// Input: steps. Output: for each row those of each head, and what each head's state keeps.
class FindSteps final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& scan = source.attributes<schema::fb::SelectiveScan>();
    shape_ = ScanShape(scan, source.plan.model());
    offsets_ = source.floats(scan.offsets());
    rates_ = source.floats(scan.rates());
    low_ = scan.step_low();
    high_ = scan.step_high() == 0.0f ? std::numeric_limits<float>::max() : scan.step_high();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      float* const steps = out(row);
      float* const decays = steps + shape_.heads;
      SoftplusRow(steps_ + row * shape_.heads, offsets_, shape_.heads, steps);
      for (size_t head = 0; head < shape_.heads; ++head)
        steps[head] = std::clamp(steps[head], low_, high_);
      if (shape_.rate_for_each) continue;
      MultiplyRow(steps, rates_, shape_.heads, decays);
      ExpRow(decays, shape_.heads, decays);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    steps_ = places.input<float>(0);
    return OkStatus();
  }

 private:
  ScanShape shape_;
  const float* offsets_ = nullptr;
  const float* rates_ = nullptr;
  float low_ = 0.0f;
  float high_ = 0.0f;
  const float* steps_ = nullptr;
};

// Inputs: x, with B and C beside it or as the second; the steps.
class SelectiveScan final : public StateRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& scan = source.attributes<schema::fb::SelectiveScan>();
    shape_ = ScanShape(scan, source.plan.model());
    apart_ = source.step.inputs[1] >= 0;
    ReadState(source, scan.state());
    skips_ = Columns(source.floats(scan.skips()));
    if (shape_.rate_for_each) ReadRates(source.floats(scan.rates()));
    return OkStatus();
  }

  uint32_t CountTasks(CallState&) override {
    const size_t blocks = shape_.groups * shape_.group_blocks();
    blocks_per_task_ = std::max<size_t>(1, blocks / (size_t{4} * workers()));
    return static_cast<uint32_t>((blocks + blocks_per_task_ - 1) / blocks_per_task_);
  }

  bool RunTask(CallState& call, uint32_t task, unsigned) override {
    const size_t blocks = shape_.groups * shape_.group_blocks();
    const size_t first = task * blocks_per_task_;
    for (size_t block = first; block < std::min(blocks, first + blocks_per_task_); ++block) {
      ForEachText(
          call, [&](size_t begin, size_t end, bool fresh) { RunBlock(block, begin, end, fresh); });
    }
    return true;
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    PlaceState(places);
    const size_t shared = 2 * shape_.groups * shape_.state_dim;
    x_ = places.input<float>(0);
    x_stride_ = shape_.width() + (apart_ ? 0 : shared);
    bc_ = apart_ ? places.input<float>(1) : x_ + shape_.width();
    bc_stride_ = apart_ ? shared : x_stride_;
    steps_ = places.input<float>(2);
    return OkStatus();
  }

 private:
  // Heads' numbers, one for each column.
  std::vector<float> Columns(const float* of_heads) const {
    std::vector<float> columns;
    if (of_heads == nullptr) return columns;
    for (size_t head = 0; head < shape_.heads; ++head)
      columns.insert(columns.end(), shape_.head_dim, of_heads[head]);
    return columns;
  }

  // From [heads, state_dim] to blocks like the state's.
  void ReadRates(const float* rates) {
    rates_.assign(shape_.state_floats(), 0.0f);
    for (size_t column = 0; column < shape_.width(); ++column) {
      const size_t group = column / shape_.group_width();
      const size_t inside = column % shape_.group_width();
      const size_t block = group * shape_.group_blocks() + inside / kStateColumns;
      for (size_t n = 0; n < shape_.state_dim; ++n) {
        rates_[block * shape_.block_floats() + n * kStateColumns + inside % kStateColumns] =
            rates[column / shape_.head_dim * shape_.state_dim + n];
      }
    }
  }

  void RunBlock(size_t block, size_t begin, size_t end, bool fresh) const {
    const size_t group = block / shape_.group_blocks();
    const size_t inside = block % shape_.group_blocks() * kStateColumns;
    const size_t column = group * shape_.group_width() + inside;
    float* const held = state() + block * shape_.block_floats();
    if (fresh) std::fill_n(held, shape_.block_floats(), 0.0f);
    float steps[kStateColumns];
    float decays[kStateColumns];
    ScanColumns columns;
    columns.columns = std::min(kStateColumns, shape_.group_width() - inside);
    columns.state_dim = shape_.state_dim;
    columns.steps = steps;
    columns.decays = shape_.rate_for_each ? nullptr : decays;
    columns.rates = shape_.rate_for_each ? rates_.data() + block * shape_.block_floats() : nullptr;
    columns.skips = skips_.empty() ? nullptr : skips_.data() + column;
    for (size_t row = begin; row < end; ++row) {
      const float* const of_heads = steps_ + row * 2 * shape_.heads;
      for (size_t i = 0; i < columns.columns; ++i) {
        const size_t head = (column + i) / shape_.head_dim;
        steps[i] = of_heads[head];
        decays[i] = of_heads[shape_.heads + head];
      }
      columns.x = x_ + row * x_stride_ + column;
      columns.b = bc_ + row * bc_stride_ + group * shape_.state_dim;
      columns.c = columns.b + shape_.groups * shape_.state_dim;
      ScanRow(columns, held, out(row) + column);
    }
  }

  ScanShape shape_;
  bool apart_ = false;
  std::vector<float> skips_;  // of each column
  std::vector<float> rates_;  // of each number of the state
  const float* x_ = nullptr;
  const float* bc_ = nullptr;
  size_t x_stride_ = 0;
  size_t bc_stride_ = 0;
  const float* steps_ = nullptr;
  size_t blocks_per_task_ = 1;
};

const StepKind kScanSteps = {.name = "scan_steps", .make = MakeRunner<FindSteps>};

void PlanSelectiveScan(PlanBuilder& plan, uint32_t index) {
  const auto& scan = *plan.op(index).attributes_as_SelectiveScan();
  const ScanShape shape(scan, plan.model());
  const uint32_t inputs = plan.op(index).inputs()->size() - (scan.state() < 0 ? 1 : 0);
  const int32_t x = InputOf(plan, index, 0);
  const int32_t bc = inputs == 3 ? InputOf(plan, index, 1) : -1;
  const int32_t steps = plan.AddValue(ValueKind::kFloat, plan.value(x).shape[0], 2 * shape.heads);
  plan.AddStep(kScanSteps, index, {InputOf(plan, index, inputs - 1)}, {steps});
  AddStateStep(plan, kSelectiveScan, index, {x, bc, steps}, {scan.state(), shape.state_floats()});
}

}  // namespace

const StepKind kSelectiveScan = {.name = "selective_scan",
                                 .division = Division::kTasks,
                                 .make = MakeRunner<SelectiveScan>,
                                 .plan = PlanSelectiveScan};

}  // namespace graft::runtime::ops
