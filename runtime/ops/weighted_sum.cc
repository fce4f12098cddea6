// SPDX-License-Identifier: Apache-2.0
// WeightedSum: the parts of a row, each times a number of the row's own.
#include <cstddef>
#include <vector>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class WeightedSum final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    begin_ = source.attributes<schema::fb::WeightedSum>().begin();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const float* weight = weights_ + row * columns_ + begin_;
      const Input& first = inputs_[0];
      ScaleRow(first.data + row * first.width, *weight++, width(), out(row));
      for (const Input& input : inputs_) {
        const float* parts = input.data + row * input.width;
        for (size_t at = &input == &first ? width() : 0; at < input.width; at += width())
          AddScaledRow(parts + at, *weight++, width(), out(row));
      }
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    const auto width_of = [&](size_t i) {
      return places.plan.row_elements(places.step.inputs[i], places.binding);
    };
    weights_ = places.input<float>(1);
    columns_ = width_of(1);
    inputs_.clear();
    for (size_t i = 0; i < places.step.inputs.size(); ++i) {
      if (i != 1) inputs_.push_back({places.input<float>(i), width_of(i)});
    }
    return OkStatus();
  }

 private:
  struct Input {
    const float* data;
    size_t width;
  };

  size_t begin_ = 0;
  size_t columns_ = 0;
  const float* weights_ = nullptr;
  std::vector<Input> inputs_;
};

}  // namespace

const StepKind kWeightedSum = {.name = "weighted_sum", .make = MakeRunner<WeightedSum>};

}  // namespace graft::runtime::ops
