// SPDX-License-Identifier: Apache-2.0
// GatedDeltaRule, in two steps: what a row gives by itself, row by row, and then the states, divided
// by heads and columns.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/kernels/recurrence.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/recurrent/state_runner.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

constexpr size_t kFactors = sizeof(DeltaFactors) / sizeof(float);

struct RuleShape {
  size_t key_heads, value_heads, key_dim, value_dim;

  explicit RuleShape(const schema::fb::GatedDeltaRule& rule)
      : key_heads(rule.key_heads()),
        value_heads(rule.value_heads()),
        key_dim(rule.key_dim()),
        value_dim(rule.value_dim()) {}
  RuleShape() : key_heads(0), value_heads(0), key_dim(0), value_dim(0) {}

  size_t width() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
  size_t state_floats() const { return value_heads * key_dim * PaddedColumns(value_dim); }
};

// Inputs: queries, keys and values; a; b. Output: DeltaFactors of each value head.
class FindFactors final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& rule = source.attributes<schema::fb::GatedDeltaRule>();
    shape_ = RuleShape(rule);
    rates_ = source.floats(rule.rates());
    offsets_ = source.floats(rule.offsets());
    epsilon_ = rule.epsilon();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) RunRow(row);
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    mixed_ = places.input<float>(0);
    a_ = places.input<float>(1);
    b_ = places.input<float>(2);
    factors_ = reinterpret_cast<DeltaFactors*>(places.output<float>(0));
    return OkStatus();
  }

 private:
  void RunRow(size_t row) const {
    DeltaFactors* const factors = factors_ + row * shape_.value_heads;
    const float* const query = mixed_ + row * shape_.width();
    const float* const key = query + shape_.key_heads * shape_.key_dim;
    const size_t shared = shape_.value_heads / shape_.key_heads;
    for (size_t head = 0; head < shape_.key_heads; ++head) {
      const float* const q = query + head * shape_.key_dim;
      const float* const k = key + head * shape_.key_dim;
      DeltaFactors& own = factors[head * shared];
      own.key = 1.0f / std::sqrt(DotRow(k, k, shape_.key_dim) + epsilon_);
      own.query = 1.0f / std::sqrt((DotRow(q, q, shape_.key_dim) + epsilon_) *
                                   static_cast<float>(shape_.key_dim));
      own.query_key = DotRow(q, k, shape_.key_dim) * own.key * own.query;
      std::fill_n(&own + 1, shared - 1, own);
    }
    for (size_t head = 0; head < shape_.value_heads; ++head) {
      const float a = a_[row * shape_.value_heads + head] + offsets_[head];
      const float step = std::max(a, 0.0f) + std::log1p(std::exp(-std::abs(a)));
      factors[head].decay = std::exp(rates_[head] * step);
      factors[head].beta = 1.0f / (1.0f + std::exp(-b_[row * shape_.value_heads + head]));
    }
  }

  RuleShape shape_;
  const float* rates_ = nullptr;
  const float* offsets_ = nullptr;
  float epsilon_ = 0.0f;
  const float* mixed_ = nullptr;
  const float* a_ = nullptr;
  const float* b_ = nullptr;
  DeltaFactors* factors_ = nullptr;
};

// Inputs: queries, keys and values; the factors.
class GatedDeltaRule final : public StateRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& rule = source.attributes<schema::fb::GatedDeltaRule>();
    shape_ = RuleShape(rule);
    ReadState(source, rule.state());
    return OkStatus();
  }

  // A task for each head; two blocks of columns of each where these are too few.
  uint32_t CountTasks(CallState&) override {
    blocks_ = PaddedColumns(shape_.value_dim) / kStateColumns;
    const bool enough = shape_.value_heads >= size_t{2} * workers();
    blocks_per_task_ = enough ? blocks_ : 2;
    return static_cast<uint32_t>(shape_.value_heads * tasks_per_head());
  }

  bool RunTask(CallState& call, uint32_t task, unsigned) override {
    RunBlocks(call, task / tasks_per_head(), task % tasks_per_head() * blocks_per_task_);
    return true;
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    PlaceState(places);
    mixed_ = places.input<float>(0);
    factors_ = reinterpret_cast<const DeltaFactors*>(places.input<float>(1));
    return OkStatus();
  }

 private:
  size_t tasks_per_head() const { return (blocks_ + blocks_per_task_ - 1) / blocks_per_task_; }

  // Those of a task, from `block` on.
  void RunBlocks(const CallState& call, size_t head, size_t block) const {
    const size_t key_head = head / (shape_.value_heads / shape_.key_heads);
    const size_t keys = shape_.key_heads * shape_.key_dim;
    const size_t column = block * kStateColumns;
    const size_t block_floats = shape_.key_dim * kStateColumns;
    DeltaColumns columns;
    columns.stride = shape_.width();
    columns.factors_stride = shape_.value_heads;
    columns.key_dim = shape_.key_dim;
    columns.columns = std::min(blocks_per_task_ * kStateColumns, shape_.value_dim - column);
    columns.state = state() + (head * blocks_ + block) * block_floats;
    columns.out_stride = width();
    columns.by_pairs = !call.singly;
    ForEachText(call, [&](size_t begin, size_t end, bool fresh) {
      if (fresh) std::fill_n(columns.state, PaddedColumns(columns.columns) * shape_.key_dim, 0.0f);
      columns.query = mixed_ + begin * columns.stride + key_head * shape_.key_dim;
      columns.key = columns.query + keys;
      columns.value = mixed_ + begin * columns.stride + 2 * keys + head * shape_.value_dim + column;
      columns.factors = factors_ + begin * shape_.value_heads + head;
      columns.rows = end - begin;
      columns.out = out(begin) + head * shape_.value_dim + column;
      DeltaRule(columns);
    });
  }

  RuleShape shape_;
  const float* mixed_ = nullptr;
  const DeltaFactors* factors_ = nullptr;
  size_t blocks_ = 1;
  size_t blocks_per_task_ = 1;
};

const StepKind kDeltaFactors = {.name = "delta_factors", .make = MakeRunner<FindFactors>};

void PlanGatedDeltaRule(PlanBuilder& plan, uint32_t index) {
  const auto& rule = *plan.op(index).attributes_as_GatedDeltaRule();
  const RuleShape shape(rule);
  const int32_t mixed = InputOf(plan, index, 0);
  const int32_t factors =
      plan.AddValue(ValueKind::kFloat, plan.value(mixed).shape[0], shape.value_heads * kFactors);
  plan.AddStep(kDeltaFactors, index, {mixed, InputOf(plan, index, 1), InputOf(plan, index, 2)},
               {factors});
  AddStateStep(plan, kGatedDeltaRule, index, {mixed, factors},
               {rule.state(), shape.state_floats()});
}

}  // namespace

const StepKind kGatedDeltaRule = {.name = "gated_delta_rule",
                                  .division = Division::kTasks,
                                  .make = MakeRunner<GatedDeltaRule>,
                                  .plan = PlanGatedDeltaRule};

}  // namespace graft::runtime::ops
