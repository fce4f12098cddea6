// SPDX-License-Identifier: Apache-2.0
// Rope, in two steps: positions are turned into angles once for all ops that turn by the same
// frequencies, and then the heads are turned by them.
#include "runtime/kernels/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// The cosines and then the sines of each position.
class Angles final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Rope& rope = source.attributes<schema::fb::Rope>();
    inverse_frequencies_ = source.floats(rope.inverse_frequencies());
    table_ = source.floats(rope.table());
    half_ = rope.rotary_dim() / 2;
    magnitude_ = rope.magnitude();
    if (rope.axes() != nullptr) axes_ = rope.axes()->data();
    if (source.step.inputs[0] == source.plan.image_positions())
      places_side_ = static_cast<int32_t>(source.plan.model().model().task()->pictures()->side());
    return OkStatus();
  }

  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      if (axes_ != nullptr) {
        const std::array<int32_t, 3> numbers = NumbersOf(call, positions_[row]);
        RopeAnglesByAxis(numbers.data(), axes_, inverse_frequencies_, half_, magnitude_, out(row),
                         out(row) + half_);
        continue;
      }
      if (table_ != nullptr) {
        const float* sines = table_ + static_cast<size_t>(positions_[row]) * 2 * half_;
        ScaleRow(sines + half_, magnitude_, half_, out(row));
        ScaleRow(sines, magnitude_, half_, out(row) + half_);
        continue;
      }
      RopeAngles(positions_[row], inverse_frequencies_, half_, magnitude_, out(row),
                 out(row) + half_);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    positions_ = places.input<int32_t>(0);
    return OkStatus();
  }

 private:
  // Time, row and column of a position, which is that of a patch or the token's among all.
  std::array<int32_t, 3> NumbersOf(const CallState& call, int32_t position) const {
    if (places_side_ > 0) return {0, position / places_side_, position % places_side_};
    if (call.images.axes == nullptr) return {position, position, position};
    const int32_t* of_token =
        call.images.axes + 3 * (static_cast<size_t>(position) - call.first_position);
    return {of_token[0], of_token[1], of_token[2]};
  }

  const float* inverse_frequencies_ = nullptr;
  const uint8_t* axes_ = nullptr;  // of each frequency; null: all turn by the position
  int32_t places_side_ = 0;        // places in a row of an image; 0: positions are tokens'
  const float* table_ = nullptr;   // the sines and then the cosines of each position
  size_t half_ = 0;
  float magnitude_ = 1.0f;
  const int32_t* positions_ = nullptr;
};

class Rope final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Rope& rope = source.attributes<schema::fb::Rope>();
    head_dim_ = rope.head_dim();
    half_ = rope.rotary_dim() / 2;
    interleaved_ = rope.interleaved();
    growth_ = rope.growth();
    growth_positions_ = rope.growth_positions();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    const size_t heads = width() / head_dim_;
    for (size_t row = begin; row < end; ++row) {
      const float* angles = angles_ + row * 2 * half_;
      RopeRow(in0(row), heads, head_dim_, half_, interleaved_, angles, angles + half_, out(row));
      if (growth_positions_ != 0) Grow(row);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    angles_ = places.input<float>(1);
    positions_ = places.input<int32_t>(2);
    return OkStatus();
  }

 private:
  void Grow(size_t row) const {
    const auto steps = static_cast<uint32_t>(positions_[row]) / growth_positions_;
    if (steps == 0) return;
    const float factor = 1.0f + growth_ * std::log1p(static_cast<float>(steps));
    ScaleRow(out(row), factor, width(), out(row));
  }

  size_t head_dim_ = 0;
  size_t half_ = 0;
  bool interleaved_ = false;
  float growth_ = 0.0f;
  uint32_t growth_positions_ = 0;  // 0: rows do not grow with their position
  const float* angles_ = nullptr;
  const int32_t* positions_ = nullptr;
};

const StepKind kAngles = {.name = "angles", .make = MakeRunner<Angles>};

bool HaveSameAxes(const schema::fb::Rope& a, const schema::fb::Rope& b) {
  if (a.axes() == nullptr || b.axes() == nullptr) return a.axes() == b.axes();
  return std::equal(a.axes()->begin(), a.axes()->end(), b.axes()->begin(), b.axes()->end());
}

int32_t AnglesFor(PlanBuilder& plan, uint32_t op) {
  const schema::fb::Rope& rope = *plan.op(op).attributes_as_Rope();
  const int32_t positions = plan.op(op).inputs()->Get(1);
  for (const Step& step : plan.steps()) {
    if (step.kind != &kAngles) continue;
    const schema::fb::Rope& other = *plan.op(step.ops[0]).attributes_as_Rope();
    if (step.inputs[0] == positions && other.inverse_frequencies() == rope.inverse_frequencies() &&
        other.magnitude() == rope.magnitude() && other.table() == rope.table() &&
        HaveSameAxes(other, rope)) {
      return step.outputs[0];
    }
  }
  const int32_t angles =
      plan.AddValue(ValueKind::kAngles, plan.value(positions).shape[0], rope.rotary_dim());
  plan.AddStep(kAngles, op, {positions}, {angles});
  return angles;
}

void PlanRope(PlanBuilder& plan, uint32_t op) {
  const int32_t angles = AnglesFor(plan, op);
  const int32_t values = plan.op(op).inputs()->Get(0);
  const int32_t positions = plan.op(op).inputs()->Get(1);
  const int32_t turned = plan.op(op).outputs()->Get(0);
  if (plan.op(op).attributes_as_Rope()->growth_positions() == 0) {
    plan.AddStep(kRope, op, {values, angles}, {turned});
  } else {
    plan.AddStep(kRope, op, {values, angles, positions}, {turned});
  }
}

}  // namespace

const StepKind kRope = {.name = "rope", .make = MakeRunner<Rope>, .plan = PlanRope};

}  // namespace graft::runtime::ops
