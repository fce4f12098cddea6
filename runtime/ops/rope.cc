// SPDX-License-Identifier: Apache-2.0
// Rope, in two steps: positions are turned into angles once for all ops that turn by the same
// frequencies, and then the heads are turned by them.
#include "runtime/kernels/rope.h"

#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
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
    half_ = rope.rotary_dim() / 2;
    magnitude_ = rope.magnitude();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
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
  const float* inverse_frequencies_ = nullptr;
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
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    const size_t heads = width() / head_dim_;
    for (size_t row = begin; row < end; ++row) {
      const float* angles = angles_ + row * 2 * half_;
      RopeRow(in0(row), heads, head_dim_, half_, interleaved_, angles, angles + half_, out(row));
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    angles_ = places.input<float>(1);
    return OkStatus();
  }

 private:
  size_t head_dim_ = 0;
  size_t half_ = 0;
  bool interleaved_ = false;
  const float* angles_ = nullptr;
};

const StepKind kAngles = {.name = "angles", .make = MakeRunner<Angles>};

int32_t AnglesFor(PlanBuilder& plan, uint32_t op) {
  const schema::fb::Rope& rope = *plan.op(op).attributes_as_Rope();
  for (const Step& step : plan.steps()) {
    if (step.kind != &kAngles) continue;
    const schema::fb::Rope& other = *plan.op(step.ops[0]).attributes_as_Rope();
    if (other.inverse_frequencies() == rope.inverse_frequencies() &&
        other.magnitude() == rope.magnitude()) {
      return step.outputs[0];
    }
  }
  const int32_t positions = plan.op(op).inputs()->Get(1);
  const int32_t angles =
      plan.AddValue(ValueKind::kAngles, plan.value(positions).shape[0], rope.rotary_dim());
  plan.AddStep(kAngles, op, {positions}, {angles});
  return angles;
}

void PlanRope(PlanBuilder& plan, uint32_t op) {
  const int32_t angles = AnglesFor(plan, op);
  plan.AddStep(kRope, op).inputs[1] = angles;
}

}  // namespace

const StepKind kRope = {.name = "rope", .make = MakeRunner<Rope>, .plan = PlanRope};

}  // namespace graft::runtime::ops
