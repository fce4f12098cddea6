// SPDX-License-Identifier: Apache-2.0
#include "runtime/ops/recurrent/state_runner.h"

#include "runtime/threads/worker_team.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {

void AddStateStep(PlanBuilder& plan, const StepKind& kind, uint32_t op,
                  std::initializer_list<int32_t> inputs, const StepState& state) {
  const int32_t out = plan.op(op).outputs()->Get(0);
  if (state.index >= 0) {
    plan.AddStep(kind, op, inputs, {out}).keeps_state = true;
    return;
  }
  const int32_t held = plan.AddValue(ValueKind::kFloat, {1, -1}, state.floats);
  Step& step = plan.AddStep(kind, op, inputs, {out, held});
  step.inputs.push_back(plan.text_ends());
  step.inputs.push_back(held);  // read as well: else there would be no place for it
  plan.ForbidChunks();
}

int32_t InputOf(const PlanBuilder& plan, uint32_t op, uint32_t i) {
  return plan.op(op).inputs()->Get(i);
}

size_t UnitsOfTask(size_t units, size_t fewest) {
  return std::max(fewest, units / (WorkerTeam::kMaxTasks / 2) + 1);
}

bool IsFirstRow(const CallState& call, bool by_texts, size_t row) {
  if (!by_texts) return call.first_position + row == 0;
  const auto texts = call.text_slots.texts();
  return std::any_of(texts.begin(), texts.end(),
                     [row](const TextRows& text) { return text.begin == row; });
}

}  // namespace graft::runtime::ops
