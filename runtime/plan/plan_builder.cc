// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan/plan_builder.h"

#include <algorithm>
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
  static_assert(Plan::kRoles == static_cast<size_t>(fb::InputRole::MAX) + 1);
  std::fill_n(plan_.role_inputs_, Plan::kRoles, -1);
  for (const fb::GraphInput* input : *model().model().graph()->inputs()) {
    if (input->role() == fb::InputRole::Tensor) {
      plan_.tensor_inputs_.push_back(input->value());
    } else {
      plan_.role_inputs_[static_cast<size_t>(input->role())] = input->value();
    }
  }
  if (plan_.has_source()) ++plan_.symbols_;
  plan_.can_chunk_ = plan_.token_ids() >= 0 && plan_.tensor_inputs_.empty();
}

// Sorted by counting, so that no op is looked for by going through all of them.
void PlanBuilder::ReadReaders() {
  reader_begins_.assign(plan_.values_.size() + 2, 0);
  const auto first_input = [&](uint32_t i) {
    const auto& inputs = *op(i).inputs();
    return inputs.size() == 0 ? plan_.values_.size() : static_cast<size_t>(inputs.Get(0));
  };
  uses_.assign(plan_.values_.size(), 0);
  for (uint32_t i = 0; i < op_count(); ++i) {
    for (const int32_t input : *op(i).inputs()) ++uses_[static_cast<size_t>(input)];
  }
  for (uint32_t i = 0; i < op_count(); ++i) ++reader_begins_[first_input(i) + 1];
  for (size_t i = 1; i < reader_begins_.size(); ++i) reader_begins_[i] += reader_begins_[i - 1];
  readers_.resize(op_count());
  std::vector<uint32_t> next = reader_begins_;
  for (uint32_t i = 0; i < op_count(); ++i) readers_[next[first_input(i)]++] = i;
}

std::span<const uint32_t> PlanBuilder::first_readers(int32_t value) const {
  const uint32_t begin = reader_begins_[static_cast<size_t>(value)];
  return std::span(readers_).subspan(begin, reader_begins_[static_cast<size_t>(value) + 1] - begin);
}

bool PlanBuilder::is_of_source(int32_t index) const {
  if (!plan_.has_source()) return false;
  const auto symbol_of = [this](int32_t of) { return value(of).shape[0].symbol; };
  const int32_t symbol = symbol_of(index);
  return symbol < 0 || (plan_.source_ids() >= 0 && symbol == symbol_of(plan_.source_ids()));
}

bool PlanBuilder::is_of_image(int32_t index) const {
  return plan_.takes_pictures() &&
         value(index).shape[0].symbol == value(plan_.image_patches()).shape[0].symbol;
}

int32_t PlanBuilder::TakeClampAfter(int32_t value, OutputBounds* bounds) {
  if (plan_.values_[static_cast<size_t>(value)].is_output || uses_[static_cast<size_t>(value)] != 1)
    return value;
  const std::span<const uint32_t> readers = first_readers(value);
  if (readers.empty() || planned_[readers[0]]) return value;
  const fb::Activation* activation = op(readers[0]).attributes_as_Activation();
  const fb::Clamp* clamp = op(readers[0]).attributes_as_Clamp();
  if (activation != nullptr && activation->kind() == fb::ActivationKind::Relu) {
    bounds->low = 0.0f;
  } else if (clamp != nullptr && clamp->low() < clamp->high()) {
    *bounds = {clamp->low(), clamp->high()};
  } else {
    return value;
  }
  MarkPlanned(readers[0]);
  return op(readers[0]).outputs()->Get(0);
}

Plan PlanBuilder::Build(OpTable ops) {
  ReadValues();
  ReadInputs();
  ReadReaders();
  for (uint32_t i = 0; i < op_count(); ++i) {
    if (planned_[i]) continue;
    const StepKind& kind = *ops[static_cast<size_t>(op(i).attributes_type())];
    if (kind.plan != nullptr) {
      kind.plan(*this, i);
    } else {
      AddStep(kind, i);
    }
  }
  for (const Step& step : plan_.steps_) plan_.has_state_ = plan_.has_state_ || step.keeps_state;
  return std::move(plan_);
}

int32_t PlanBuilder::AddValue(ValueKind kind, const PlanDimension& rows, size_t width) {
  PlanValue& value = plan_.values_.emplace_back();
  value.kind = kind;
  value.shape.push_back(rows);
  value.width = width;
  return static_cast<int32_t>(plan_.values_.size()) - 1;
}

Step& PlanBuilder::AddStep(const StepKind& kind, uint32_t op, std::initializer_list<int32_t> inputs,
                           std::initializer_list<int32_t> outputs) {
  Step& step = plan_.steps_.emplace_back();
  step.kind = &kind;
  step.ops.push_back(op);
  step.inputs = inputs;
  step.outputs = outputs;
  return step;
}

Step& PlanBuilder::AddStep(const StepKind& kind, uint32_t index) {
  Step& step = AddStep(kind, index, {}, {});
  for (const int32_t input : *op(index).inputs()) step.inputs.push_back(input);
  for (const int32_t output : *op(index).outputs()) step.outputs.push_back(output);
  return step;
}

}  // namespace graft::runtime
