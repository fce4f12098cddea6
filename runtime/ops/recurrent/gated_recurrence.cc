// SPDX-License-Identifier: Apache-2.0
// GatedRecurrence, in two steps: the gates row by row, and then the states, divided by columns.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/kernels/recurrence.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/recurrent/state_runner.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// Columns of a task, at least.
constexpr size_t kTaskColumns = 512;

// Input: x, perhaps text ends. Output: for each row the decay of each column, and what comes in.
class FindGates final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& recurrence = source.attributes<schema::fb::GatedRecurrence>();
    blocks_ = recurrence.blocks();
    by_texts_ = recurrence.state() < 0;
    input_ = {source.floats(recurrence.input_weight()), source.floats(recurrence.input_bias())};
    gate_ = {source.floats(recurrence.gate_weight()), source.floats(recurrence.gate_bias())};
    rates_ = source.floats(recurrence.rates());
    return OkStatus();
  }

  // Gates are computed where their results will lie.
  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    const size_t columns = width() / 2;
    for (size_t row = begin; row < end; ++row) {
      const float* const x = x_ + row * columns;
      float* const decay = out(row);
      float* const incoming = decay + columns;
      ApplyGate(gate_, x, columns, decay);
      ApplyGate(input_, x, columns, incoming);
      RecurrenceFactors(x, incoming, decay, rates_, IsFirstRow(call, by_texts_, row), columns,
                        decay, incoming);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    x_ = places.input<float>(0);
    return OkStatus();
  }

 private:
  struct Gate {
    const float* weight = nullptr;  // [blocks][in][out]
    const float* bias = nullptr;
  };

  void ApplyGate(const Gate& gate, const float* x, size_t columns, float* y) const {
    const size_t block = columns / blocks_;
    std::copy_n(gate.bias, columns, y);
    for (size_t at = 0; at < columns; at += block)
      AddRows(x + at, block, gate.weight + at * block, block, y + at);
  }

  size_t blocks_ = 1;
  bool by_texts_ = false;
  Gate input_, gate_;
  const float* rates_ = nullptr;
  const float* x_ = nullptr;
};

// Input: what FindGates gives.
class GatedRecurrence final : public StateRunner {
 public:
  Status Read(const StepSource& source) override {
    ReadState(source, source.attributes<schema::fb::GatedRecurrence>().state());
    return OkStatus();
  }

  uint32_t CountTasks(CallState&) override {
    task_columns_ = UnitsOfTask(width(), kTaskColumns);
    return static_cast<uint32_t>((width() + task_columns_ - 1) / task_columns_);
  }

  bool RunTask(CallState& call, uint32_t task, unsigned) override {
    const size_t begin = task * task_columns_;
    const size_t columns = std::min(width() - begin, task_columns_);
    ForEachText(call, [&](size_t first, size_t last, bool fresh) {
      if (fresh) std::fill_n(state() + begin, columns, 0.0f);
      for (size_t row = first; row < last; ++row) {
        const float* const decay = factors_ + row * 2 * width() + begin;
        RecurRow(decay, decay + width(), columns, state() + begin, out(row) + begin);
      }
    });
    return true;
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    PlaceState(places);
    factors_ = places.input<float>(0);
    return OkStatus();
  }

 private:
  const float* factors_ = nullptr;
  size_t task_columns_ = kTaskColumns;
};

const StepKind kRecurrenceGates = {.name = "recurrence_gates", .make = MakeRunner<FindGates>};

void PlanGatedRecurrence(PlanBuilder& plan, uint32_t index) {
  const auto& recurrence = *plan.op(index).attributes_as_GatedRecurrence();
  const int32_t x = InputOf(plan, index, 0);
  const PlanDimension rows = plan.value(x).shape[0];
  const auto columns = static_cast<size_t>(plan.value(x).shape[1].size);
  const int32_t factors = plan.AddValue(ValueKind::kFloat, rows, 2 * columns);
  const int32_t ends = recurrence.state() < 0 ? plan.text_ends() : -1;
  plan.AddStep(kRecurrenceGates, index, {x, ends}, {factors});
  AddStateStep(plan, kGatedRecurrence, index, {factors},
               {recurrence.state(), PaddedColumns(columns)});
}

}  // namespace

const StepKind kGatedRecurrence = {.name = "gated_recurrence",
                                   .division = Division::kTasks,
                                   .make = MakeRunner<GatedRecurrence>,
                                   .plan = PlanGatedRecurrence};

}  // namespace graft::runtime::ops
