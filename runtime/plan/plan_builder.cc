// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan_builder.h"

#include <utility>

#include "schema/generated/model_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;

PlanBuilder::PlanBuilder(const schema::VerifiedModel& model)
    : plan_(model), planned_(model.model().graph()->ops()->size(), false) {}

void PlanBuilder::ReadValues() {
  const fb::Graph& graph = *model().model().graph();
  plan_.symbols_ = graph.symbols() ? graph.symbols()->size() : 0;
  for (const fb::Value* value : *graph.values()) {
    PlanValue planned;
    planned.name = value->name()->string_view();
    planned.kind = value->type() == fb::ElementType::Int32 ? ValueKind::kInt : ValueKind::kFloat;
    for (const fb::Dimension* dimension : *value->shape()) {
      planned.shape.push_back({dimension->size(), dimension->symbol()});
    }
    plan_.values_.push_back(std::move(planned));
  }
  for (const int32_t output : *graph.outputs()) {
    plan_.outputs_.push_back(output);
    plan_.values_[static_cast<size_t>(output)].is_output = true;
  }
}

void PlanBuilder::ReadInputs() {
  for (const fb::GraphInput* input : *model().model().graph()->inputs()) {
    switch (input->role()) {
      case fb::InputRole::Tensor:
        plan_.tensor_inputs_.push_back(input->value());
        break;
      case fb::InputRole::TokenIds:
        plan_.token_ids_ = input->value();
        break;
      case fb::InputRole::Positions:
        plan_.positions_ = input->value();
        break;
      case fb::InputRole::OutputRows:
        plan_.output_rows_ = input->value();
        break;
      case fb::InputRole::TokenTypes:
        plan_.token_types_ = input->value();
        break;
      case fb::InputRole::TextEnds:
        plan_.text_ends_ = input->value();
        break;
    }
  }
  plan_.can_chunk_ = plan_.token_ids_ >= 0 && plan_.tensor_inputs_.empty();
}

Plan PlanBuilder::Build(OpTable ops) {
  ReadValues();
  ReadInputs();
  for (uint32_t i = 0; i < op_count(); ++i) {
    if (planned_[i]) continue;
    const StepKind& kind = *ops[static_cast<size_t>(op(i).attributes_type())];
    if (kind.plan != nullptr) {
      kind.plan(*this, i);
    } else {
      AddStep(StepOf(kind, i));
    }
  }
  return std::move(plan_);
}

int32_t PlanBuilder::AddValue(PlanValue value) {
  plan_.values_.push_back(std::move(value));
  return static_cast<int32_t>(plan_.values_.size()) - 1;
}

void PlanBuilder::AddStep(Step step) {
  plan_.has_state_ = plan_.has_state_ || step.keeps_state;
  plan_.steps_.push_back(std::move(step));
}

Step PlanBuilder::StepOf(const StepKind& kind, uint32_t index) const {
  Step step{.kind = &kind, .ops = {index}, .inputs = {}, .outputs = {}};
  step.inputs.assign(op(index).inputs()->begin(), op(index).inputs()->end());
  step.outputs.assign(op(index).outputs()->begin(), op(index).outputs()->end());
  return step;
}

}  // namespace graft::runtime
