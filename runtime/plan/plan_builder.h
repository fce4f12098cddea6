// SPDX-License-Identifier: Apache-2.0
// PlanBuilder: turns the ops of a graph into steps, each op as its kind says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "runtime/plan/plan.h"
#include "runtime/plan/step_kind.h"
#include "schema/verify.h"

namespace graft::runtime {

class PlanBuilder {
 public:
  explicit PlanBuilder(const schema::VerifiedModel& model);

  /// Plans every op of the graph. To be called once.
  /// Requires ops has a kind for each member of model.fbs's union OpAttributes.
  Plan Build(OpTable ops);

  // For StepKind::plan.

  const schema::VerifiedModel& model() const { return plan_.model(); }
  uint32_t op_count() const { return static_cast<uint32_t>(planned_.size()); }
  const schema::fb::Op& op(uint32_t index) const { return plan_.op(index); }
  const PlanValue& value(int32_t value) const { return plan_.values_[static_cast<size_t>(value)]; }
  int32_t text_ends() const { return plan_.text_ends(); }
  /// Whether a value has rows of the source, not of tokens.
  bool is_of_source(int32_t value) const;
  /// Whether a value has rows of patches.
  bool is_of_image(int32_t value) const;
  std::span<const Step> steps() const { return plan_.steps_; }
  /// The ops whose first input is `value`, in order.
  std::span<const uint32_t> first_readers(int32_t value) const;

  /// If nothing but one ReLU or Clamp reads `value`, the value that it gives, and its bounds; the
  /// step that computes `value` is to keep them, and the reader has no step of its own. Else
  /// `value`, without bounds.
  int32_t TakeClampAfter(int32_t value, OutputBounds* bounds);

  /// Adds a value that only the plan knows; returns its number. AddValue and AddStep make
  /// references to others invalid.
  int32_t AddValue(ValueKind kind, const PlanDimension& rows, size_t width);
  PlanValue& added_value() { return plan_.values_.back(); }
  /// Adds a step of one op.
  Step& AddStep(const StepKind& kind, uint32_t op, std::initializer_list<int32_t> inputs,
                std::initializer_list<int32_t> outputs);
  /// Adds a step with the op's inputs and outputs.
  Step& AddStep(const StepKind& kind, uint32_t op);
  /// What was quantized of a value in this way; -1: nothing yet.
  int32_t& quantized_form(int32_t value, const QuantizedRows& form) {
    return quantized_.try_emplace({value, form}, -1).first->second;
  }
  /// Says that an op is in a step already, and needs none of its own.
  void MarkPlanned(uint32_t op) { planned_[op] = true; }
  /// Says that some step needs all rows of a text at once.
  void ForbidChunks() { plan_.can_chunk_ = false; }

 private:
  void ReadValues();
  void ReadInputs();
  void ReadReaders();

  Plan plan_;
  std::map<std::pair<int32_t, QuantizedRows>, int32_t> quantized_;
  std::vector<bool> planned_;  // for each op of the graph
  // Ops by their first input; those of value v are [reader_begins_[v], reader_begins_[v + 1]).
  std::vector<uint32_t> readers_;
  std::vector<uint32_t> reader_begins_;
  std::vector<uint32_t> uses_;  // of each value of the graph, as an input
};

}  // namespace graft::runtime
