// SPDX-License-Identifier: Apache-2.0
// ExpertLinear: rows are sorted by expert, and each expert that has any is multiplied with its rows
// together. No other expert's bytes are touched. Those of one input are computed together, as linears
// are.
#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "runtime/executor/attention_workspace.h"
#include "runtime/executor/linear_slices.h"
#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/quantize.h"
#include "runtime/plan/plan_builder.h"
#include "runtime/threads/worker_team.h"
#include "runtime/xnn/linear_operator.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// One stack of matrices. All experts have the same slices, and each worker two operators: one for
// all slices but the last, one for that.
struct Stack {
  const LinearWeights* first = nullptr;  // of expert 0
  uint64_t expert_bytes = 0;             // from one expert to the next
  LinearSlices slices;
  std::unique_ptr<LinearOperator[]> operators;
  float* out = nullptr;

  size_t RowsOfSlice(size_t slice) const {
    return slice + 1 == slices.count ? first->out_features - slice * slices.rows : slices.rows;
  }
  LinearOperator& OperatorOf(unsigned worker, size_t slice) const {
    return operators[2 * worker + (slice + 1 == slices.count ? 1 : 0)];
  }
  const uint8_t* Packed(size_t expert, size_t slice) const {
    return first->packed + expert * expert_bytes + slice * slices.rows * first->row_bytes;
  }
};

Result<Stack> CreateStack(const StepSource& source, uint32_t op, uint64_t group_bytes) {
  const PackedEntry& entry = source.weights.entry(op);
  const auto tensor = static_cast<uint32_t>(entry.source.weight);
  const char* name = source.plan.model().model().tensors()->Get(tensor)->name()->c_str();
  Stack stack;
  stack.first = &entry.weights;
  stack.expert_bytes = entry.stride;
  stack.slices = SlicesOf(entry.weights, group_bytes, source.workers);
  stack.operators.reset(new (std::nothrow) LinearOperator[2 * size_t{source.workers}]);
  if (!stack.operators)
    return Error(StatusCode::kOutOfMemory, "tensor %.200s: cannot allocate operators", name);
  const size_t count = stack.slices.count;
  for (unsigned worker = 0; worker < source.workers; ++worker) {
    for (size_t slice = 0; slice < count; slice += std::max<size_t>(1, count - 1)) {
      const size_t begin = slice * stack.slices.rows;
      GRAFT_RETURN_IF_ERROR(stack.OperatorOf(worker, slice)
                                .Create(name, entry.weights, begin,
                                        begin + stack.RowsOfSlice(slice), source.unit_scales));
    }
  }
  return stack;
}

// Inputs of a step: the rows, their quantized form or -1, the choices, and `order`, which is the last
// output, too.
class ExpertLinears final : public StepRunner {
 public:
  Status Read(const StepSource& source) override;
  uint32_t CountTasks(CallState& call) override;
  bool RunTask(CallState& call, uint32_t task, unsigned worker) override;
  uint64_t weight_bytes() const override { return weight_bytes_; }

 protected:
  Status Prepare(const StepPlaces& places) override;

 private:
  // Choices of one expert: order_[begin, end).
  struct Group {
    uint32_t expert, begin, end;
  };
  struct Slice {
    uint32_t stack, slice;
  };
  // What an operator reads: rows beside each other.
  struct Rows {
    const uint8_t* input;
    const RowQuantization* quantization;
  };

  size_t row_bytes() const { return in_features_ * (quantizes_ ? 1 : sizeof(float)); }
  // The row that a choice reads.
  size_t InputRow(size_t choice) const { return own_rows_ ? choice : choice / choices_each_; }
  // Of one product at most, so that they and their products fit a worker's scratch.
  size_t MostRows(const Stack& stack) const {
    const size_t row_floats =
        stack.first->out_features + (row_bytes() + sizeof(RowQuantization)) / sizeof(float) + 1;
    return (workspace_->worker_floats() - kExpertRowsTail) / row_floats;
  }
  Rows Gather(const int32_t* order, size_t count, float* scratch) const;
  bool Multiply(const Stack& stack, size_t slice, size_t expert, const int32_t* order, size_t count,
                unsigned worker, bool singly) const;

  std::vector<Stack> stacks_;
  size_t experts_ = 0;
  size_t in_features_ = 0;
  size_t choices_each_ = 0;  // of a row
  bool own_rows_ = false;    // each choice has a row of its own
  bool quantizes_ = false;
  AttentionWorkspace* workspace_ = nullptr;
  const uint8_t* input_ = nullptr;
  const RowQuantization* quantization_ = nullptr;
  const int32_t* choices_ = nullptr;
  int32_t* order_ = nullptr;   // all choices, as row * choices_each + choice, by expert
  std::vector<Slice> slices_;  // of the stacks that something reads
  std::vector<Group> groups_;
  std::vector<uint32_t> ends_;  // of each expert's choices in order_
  uint64_t weight_bytes_ = 0;   // packed, of the last call
};

Status ExpertLinears::Read(const StepSource& source) {
  const Plan& plan = source.plan;
  choices_each_ = plan.ChoicesOf(source.step.ops[0]);
  workspace_ = &source.attention;
  uint64_t group_bytes = 0;
  for (const uint32_t op : source.step.ops)
    group_bytes += source.weights.linear(op).packed_bytes * choices_each_;
  uint64_t tasks = 0;
  for (const uint32_t op : source.step.ops) {
    GRAFT_ASSIGN_OR_RETURN(Stack stack, CreateStack(source, op, group_bytes));
    experts_ = source.weights.entry(op).source.matrices;
    tasks += stack.slices.count * experts_;
    stacks_.push_back(std::move(stack));
  }
  in_features_ = stacks_[0].first->in_features;
  quantizes_ = stacks_[0].first->quantizes_input();
  ends_.resize(experts_);
  groups_.reserve(experts_);
  if (tasks <= WorkerTeam::kMaxTasks) return OkStatus();
  return Error(StatusCode::kUnsupported,
               "%zu experts make %" PRIu64 " pieces of work, at most %u fit", experts_, tasks,
               WorkerTeam::kMaxTasks);
}

Status ExpertLinears::Prepare(const StepPlaces& places) {
  own_rows_ = places.plan.row_elements(places.step.inputs[0], places.binding) != in_features_;
  const auto* codes = places.input<uint8_t>(1);
  input_ = quantizes_ ? codes : places.input<uint8_t>(0);
  const size_t runs = rows() * (own_rows_ ? choices_each_ : 1);
  if (quantizes_) {
    quantization_ =
        reinterpret_cast<const RowQuantization*>(codes + QuantizedCodesBytes(runs, in_features_));
  }
  choices_ = places.input<int32_t>(2);
  order_ = places.output<int32_t>(stacks_.size());
  slices_.clear();
  for (size_t i = 0; i < stacks_.size(); ++i) {
    stacks_[i].out = places.output<float>(i);
    if (stacks_[i].out == nullptr) continue;  // nothing reads it
    for (size_t slice = 0; slice < stacks_[i].slices.count; ++slice)
      slices_.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(slice)});
  }
  return OkStatus();
}

// Sorts the choices by expert, by counting.
uint32_t ExpertLinears::CountTasks(CallState& call) {
  const size_t count = rows() * choices_each_;
  std::fill(ends_.begin(), ends_.end(), 0u);
  for (size_t i = 0; i < count; ++i) ++ends_[static_cast<size_t>(choices_[i])];
  groups_.clear();
  uint32_t begin = 0;
  for (uint32_t expert = 0; expert < experts_; ++expert) {
    const uint32_t end = begin + ends_[expert];
    if (end > begin) groups_.push_back({expert, begin, end});
    ends_[expert] = begin;  // for now
    begin = end;
  }
  for (size_t i = 0; i < count; ++i)
    order_[ends_[static_cast<size_t>(choices_[i])]++] = static_cast<int32_t>(i);
  weight_bytes_ = 0;
  for (const Stack& stack : stacks_) {
    if (stack.out != nullptr) weight_bytes_ += stack.first->packed_bytes * groups_.size();
  }
  const auto tasks = static_cast<uint32_t>(groups_.size() * slices_.size());
  call.shares.Divide(tasks);
  return tasks;
}

ExpertLinears::Rows ExpertLinears::Gather(const int32_t* order, size_t count,
                                          float* scratch) const {
  const size_t bytes = row_bytes();
  if (count == 1) {
    const size_t row = InputRow(static_cast<size_t>(order[0]));
    return {input_ + row * bytes, quantizes_ ? quantization_ + row : nullptr};
  }
  auto* quantization = reinterpret_cast<RowQuantization*>(scratch);
  auto* rows = reinterpret_cast<uint8_t*>(quantization + count + kExtraQuantizations);
  for (size_t i = 0; i < count; ++i) {
    const size_t row = InputRow(static_cast<size_t>(order[i]));
    std::memcpy(rows + i * bytes, input_ + row * bytes, bytes);
    if (quantizes_) quantization[i] = quantization_[row];
  }
  if (!quantizes_) return {rows, nullptr};
  std::fill_n(quantization + count, kExtraQuantizations, quantization[count - 1]);
  return {rows, quantization};
}

// A slice of an expert, times at most MostRows rows.
bool ExpertLinears::Multiply(const Stack& stack, size_t slice, size_t expert, const int32_t* order,
                             size_t count, unsigned worker, bool singly) const {
  float* scratch = workspace_->scratch(worker);
  const size_t out_features = stack.first->out_features;
  float* to = stack.out + slice * stack.slices.rows;
  const bool in_place = count == 1;
  float* products = in_place ? to + static_cast<size_t>(order[0]) * out_features : scratch;
  const Rows rows = Gather(order, count, scratch + count * out_features);
  LinearOperator& product = stack.OperatorOf(worker, slice);
  product.Rebind(stack.Packed(expert, slice));
  if (!product.Prepare(count, rows.input, rows.quantization, products, singly).ok()) return false;
  if (!product.Run().ok()) return false;
  if (in_place) return true;
  const size_t width = stack.RowsOfSlice(slice);
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(to + static_cast<size_t>(order[i]) * out_features, products + i * out_features,
                width * sizeof(float));
  }
  return true;
}

bool ExpertLinears::RunTask(CallState& call, uint32_t, unsigned worker) {
  const uint32_t task = call.shares.Take(worker);
  const Group& group = groups_[task / slices_.size()];
  const Slice& slice = slices_[task % slices_.size()];
  const Stack& stack = stacks_[slice.stack];
  const auto most = static_cast<uint32_t>(MostRows(stack));
  for (uint32_t begin = group.begin; begin < group.end; begin += most) {
    const uint32_t count = std::min(group.end - begin, most);
    if (!Multiply(stack, slice.slice, group.expert, order_ + begin, count, worker, call.singly))
      return false;
  }
  return true;
}

schema::fb::TensorFormat FormatOf(const PlanBuilder& plan, const schema::fb::ExpertLinear& linear) {
  return plan.model().model().tensors()->Get(static_cast<uint32_t>(linear.weight()))->format();
}

// What ops that are computed together have alike, beside their input.
bool AreAlike(const PlanBuilder& plan, uint32_t a, uint32_t b) {
  const schema::fb::ExpertLinear& first = *plan.op(a).attributes_as_ExpertLinear();
  const schema::fb::ExpertLinear* other = plan.op(b).attributes_as_ExpertLinear();
  if (other == nullptr || plan.op(a).inputs()->Get(1) != plan.op(b).inputs()->Get(1)) return false;
  const auto& tensors = *plan.model().model().tensors();
  const auto width = [&](int32_t tensor) {
    return tensors.Get(static_cast<uint32_t>(tensor))->shape()->Get(1);
  };
  return IsQuantized(FormatOf(plan, first)) == IsQuantized(FormatOf(plan, *other)) &&
         width(first.weight()) == width(other->weight());
}

void PlanExpertLinears(PlanBuilder& plan, uint32_t first) {
  const schema::fb::ExpertLinear& linear = *plan.op(first).attributes_as_ExpertLinear();
  const int32_t input = plan.op(first).inputs()->Get(0);
  const int32_t choices = plan.op(first).inputs()->Get(1);
  std::vector<uint32_t> ops;
  for (const uint32_t op : plan.first_readers(input)) {
    // Another's choices may be computed later.
    if (!AreAlike(plan, first, op)) continue;
    plan.MarkPlanned(op);
    ops.push_back(op);
  }
  int32_t codes = -1;
  if (IsQuantized(FormatOf(plan, linear))) {
    const auto& weight =
        *plan.model().model().tensors()->Get(static_cast<uint32_t>(linear.weight()));
    QuantizedRows form;
    form.parts = static_cast<size_t>(plan.value(input).shape[1].size / weight.shape()->Get(1));
    codes = QuantizedForm(plan, first, input, form);
  }
  const std::vector<PlanDimension>& shape = plan.value(choices).shape;
  const PlanDimension rows = shape[0];
  const int32_t order = plan.AddValue(ValueKind::kInt, rows, static_cast<size_t>(shape[1].size));
  // Nothing else reads the order: as an input of its own step it has a place.
  Step& step = plan.AddStep(kExpertLinear, first, {input, codes, choices, order}, {});
  for (const uint32_t op : ops) step.outputs.push_back(plan.op(op).outputs()->Get(0));
  step.outputs.push_back(order);
  step.ops = std::move(ops);
}

}  // namespace

const StepKind kExpertLinear = {.name = "expert_linear",
                                .division = Division::kTasks,
                                .reads_weights = true,
                                .make = MakeRunner<ExpertLinears>,
                                .plan = PlanExpertLinears};

}  // namespace graft::runtime::ops
