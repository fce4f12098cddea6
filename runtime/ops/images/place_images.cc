// SPDX-License-Identifier: Apache-2.0
// PlaceImages, in two steps that never run in one pass: a pass over an image hands its rows out, and
// passes over tokens take them in where they belong.
#include <algorithm>
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "runtime/plan/plan_builder.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class StoreImageRows final : public StepRunner {
 public:
  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    if (call.images.store == nullptr) return;
    std::copy(rows_of_image_ + begin * width_of_image_, rows_of_image_ + end * width_of_image_,
              call.images.store + begin * width_of_image_);
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    rows_of_image_ = places.input<float>(0);
    width_of_image_ = places.plan.row_elements(places.step.inputs[0], places.binding);
    return OkStatus();
  }

 private:
  const float* rows_of_image_ = nullptr;
  size_t width_of_image_ = 0;
};

class PlaceImageRows final : public StepRunner {
 public:
  void RunRows(const CallState& call, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const float* of_image = call.images.rows == nullptr ? nullptr : call.images.rows[row];
      std::copy_n(of_image == nullptr ? in0(row) : of_image, width(), out(row));
    }
  }
};

const StepKind kStoreImageRows = {.name = "store_image_rows", .make = MakeRunner<StoreImageRows>};
const StepKind kPlaceImageRows = {.name = "place_image_rows", .make = MakeRunner<PlaceImageRows>};

void PlanPlaceImages(PlanBuilder& plan, uint32_t index) {
  const auto& inputs = *plan.op(index).inputs();
  plan.AddStep(kStoreImageRows, index, {inputs[1]}, {}).keeps_state = true;
  plan.AddStep(kPlaceImageRows, index, {inputs[0]}, {plan.op(index).outputs()->Get(0)});
}

}  // namespace

const StepKind kPlaceImages = {
    .name = "place_images", .make = MakeRunner<PlaceImageRows>, .plan = PlanPlaceImages};

}  // namespace graft::runtime::ops
