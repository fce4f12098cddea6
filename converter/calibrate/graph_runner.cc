// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/graph_runner.h"

#include <algorithm>
#include <utility>

#include "converter/base/cancellation.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {

namespace fb = schema::fb;

Status GraphRunner::Check(const fb::Graph& graph) {
  for (const fb::GraphInput* input : *graph.inputs()) {
    const fb::InputRole role = input->role();
    if (role != fb::InputRole::TokenIds && role != fb::InputRole::Positions &&
        role != fb::InputRole::OutputRows) {
      return Error(StatusCode::kUnsupported,
                   "calibration runs models that generate text; this one takes an input of role %s",
                   fb::EnumNameInputRole(role));
    }
  }
  for (const fb::Op* op : *graph.ops()) GRAFT_RETURN_IF_ERROR(CheckOp(*op));
  return OkStatus();
}

size_t GraphRunner::WidthOf(int32_t value) const {
  const auto& shape = *graph_.values()->Get(static_cast<unsigned>(value))->shape();
  return shape.size() < 2 ? 1 : static_cast<size_t>(shape.Get(1)->size());
}

Operand GraphRunner::OperandOf(int32_t value, const Batch& batch) const {
  Operand operand;
  operand.width = WidthOf(value);
  const Scratch& stored = values_[static_cast<size_t>(value)];
  if (!stored.empty()) {
    operand.numbers = stored.numbers().data();
    return operand;
  }
  for (const fb::GraphInput* input : *graph_.inputs()) {
    if (input->value() != value) continue;
    operand.is_token_ids = input->role() == fb::InputRole::TokenIds;
    operand.is_positions = input->role() == fb::InputRole::Positions;
  }
  return operand;
}

Status GraphRunner::KeepPast(size_t sequences, size_t most_rows) {
  caches_.resize(graph_.ops()->size());
  for (size_t i = 0; i < caches_.size(); ++i) {
    const fb::Attention* attention =
        graph_.ops()->Get(static_cast<unsigned>(i))->attributes_as_Attention();
    if (attention == nullptr) continue;
    const size_t width = size_t{attention->kv_heads()} * attention->head_dim();
    GRAFT_ASSIGN_OR_RETURN(caches_[i],
                           Scratch::Create(options_.folder, 2 * sequences * most_rows * width));
  }
  return OkStatus();
}

Result<Scratch> GraphRunner::MakeRoom(size_t count) const {
  return options_.in_memory ? Scratch::InMemory(count) : Scratch::Create(options_.folder, count);
}

// Whether the op's input is what SelectRows left of the batch, or was computed from that.
bool GraphRunner::HasSelectedRows(const fb::Op& op, const Batch& batch) const {
  if (options_.selected_rows.empty()) return false;
  const int32_t input = op.inputs()->Get(0);
  const Scratch& stored = values_[static_cast<size_t>(input)];
  return !stored.empty() && stored.numbers().size() != batch.rows() * WidthOf(input);
}

void GraphRunner::SelectRows(const Operand& from, float* to) const {
  for (const size_t row : options_.selected_rows) {
    to = std::copy_n(from.numbers + row * from.width, from.width, to);
  }
}

Status GraphRunner::RunOne(const Batch& all, const BeforeLinear& before, size_t index,
                           bool computes) {
  const fb::Op& op = *graph_.ops()->Get(static_cast<unsigned>(index));
  // What computes with selected rows looks at each by itself.
  const Batch selected{options_.selected_rows.size(), 1, 0, 1, nullptr};
  const Batch& batch = HasSelectedRows(op, all) ? selected : all;
  OpCall call{op, batch, tensors_, {}, nullptr, 0, {}, options_.threads};
  for (const int32_t input : *op.inputs()) call.in.push_back(OperandOf(input, batch));
  const bool is_linear = op.attributes_type() == fb::OpAttributes::Linear;
  if (before && is_linear) {
    const Scratch& input = values_[static_cast<size_t>(op.inputs()->Get(0))];
    GRAFT_ASSIGN_OR_RETURN(const std::span<const float> taken,
                           before(index, input.numbers(), call.in[0].width));
    call.in[0].numbers = taken.data();
  }
  if (!computes) return OkStatus();
  const int32_t out = op.outputs()->Get(0);
  call.out_width = WidthOf(out);
  const bool selects = op.attributes_type() == fb::OpAttributes::SelectRows &&
                       call.in[0].numbers != nullptr && !options_.selected_rows.empty();
  Scratch& result = values_[static_cast<size_t>(out)];
  GRAFT_ASSIGN_OR_RETURN(result,
                         MakeRoom((selects ? selected.rows() : batch.rows()) * call.out_width));
  call.out = result.numbers().data();
  if (selects) {
    SelectRows(call.in[0], call.out);
    return OkStatus();
  }
  if (!caches_.empty()) call.cache = caches_[index].numbers();
  return is_linear && options_.linear ? options_.linear(call) : RunOp(call);
}

void GraphRunner::StartPass() {
  const auto& ops = *graph_.ops();
  values_.clear();
  values_.resize(graph_.values()->size());
  last_reader_.assign(values_.size(), 0);
  for (size_t i = 0; i < ops.size(); ++i) {
    for (const int32_t input : *ops.Get(static_cast<unsigned>(i))->inputs()) {
      last_reader_[static_cast<size_t>(input)] = i;
    }
  }
}

void GraphRunner::FreeUnread(size_t index) {
  for (const int32_t input : *graph_.ops()->Get(static_cast<unsigned>(index))->inputs()) {
    const auto value = static_cast<size_t>(input);
    if (last_reader_[value] == index) values_[value].Free();
  }
}

Status GraphRunner::Run(const Batch& batch, const BeforeLinear& before, size_t last_op) {
  StartPass();
  for (size_t i = 0; i < graph_.ops()->size() && i <= last_op; ++i) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    GRAFT_RETURN_IF_ERROR(RunOne(batch, before, i, !before || i < last_op));
    FreeUnread(i);
  }
  output_ = std::move(values_[static_cast<size_t>(graph_.outputs()->Get(0))]);
  return OkStatus();
}

Status GraphRunner::RunPart(const Batch& batch, size_t begin, size_t end, int32_t given,
                            std::span<const float> numbers, int32_t wanted) {
  StartPass();
  if (given >= 0) {
    Scratch& value = values_[static_cast<size_t>(given)];
    GRAFT_ASSIGN_OR_RETURN(value, MakeRoom(numbers.size()));
    std::copy(numbers.begin(), numbers.end(), value.numbers().begin());
  }
  for (size_t i = begin; i < end; ++i) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    GRAFT_RETURN_IF_ERROR(RunOne(batch, {}, i, true));
    if (i + 1 < end) FreeUnread(i);
  }
  output_ = std::move(values_[static_cast<size_t>(wanted)]);
  return OkStatus();
}

}  // namespace graft::converter
