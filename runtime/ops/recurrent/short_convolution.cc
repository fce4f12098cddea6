// SPDX-License-Identifier: Apache-2.0
// ShortConvolution: a weighted sum of each column's last few rows.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/kernels/recurrence.h"
#include "runtime/ops/op_table.h"
#include "runtime/ops/recurrent/state_runner.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// Columns of a task, at least: some KiB of each row.
constexpr size_t kTaskColumns = 512;

const schema::fb::Tensor& WeightOf(const schema::VerifiedModel& model, int32_t weight) {
  return *model.model().tensors()->Get(static_cast<uint32_t>(weight));
}

class ShortConvolution final : public StateRunner {
 public:
  Status Read(const StepSource& source) override {
    const auto& convolution = source.attributes<schema::fb::ShortConvolution>();
    const schema::fb::Tensor& weight = WeightOf(source.plan.model(), convolution.weight());
    shape_.weight = source.floats(convolution.weight());
    shape_.bias = source.floats(convolution.bias());
    shape_.kernel = static_cast<size_t>(weight.shape()->Get(0));
    shape_.width = static_cast<size_t>(weight.shape()->Get(1));
    shape_.gated = convolution.gated();
    ReadState(source, convolution.state());
    return OkStatus();
  }

  uint32_t CountTasks(CallState&) override {
    const size_t wanted = rows() == 1 ? 1 : size_t{2} * workers();
    const size_t share = PaddedColumns((shape_.width + wanted - 1) / wanted);
    task_columns_ = PaddedColumns(UnitsOfTask(shape_.width, std::max(kTaskColumns, share)));
    return static_cast<uint32_t>((shape_.width + task_columns_ - 1) / task_columns_);
  }

  bool RunTask(CallState& call, uint32_t task, unsigned) override {
    const size_t begin = task * task_columns_;
    const size_t end = std::min(shape_.width, begin + task_columns_);
    const size_t in_width = shape_.gated ? 3 * shape_.width : shape_.width;
    ForEachText(call, [&](size_t first, size_t last, bool fresh) {
      if (fresh) Clear(begin, end);
      ConvolveRows(shape_, in_ + first * in_width, last - first, begin, end, state(), out(first));
    });
    return true;
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    PlaceState(places);
    in_ = places.input<float>(0);
    return OkStatus();
  }

 private:
  void Clear(size_t begin, size_t end) const {
    const size_t stride = PaddedColumns(shape_.width);
    for (size_t row = 0; row + 1 < shape_.kernel; ++row)
      std::fill(state() + row * stride + begin, state() + row * stride + PaddedColumns(end), 0.0f);
  }

  ConvolutionShape shape_;
  const float* in_ = nullptr;
  size_t task_columns_ = 0;
};

void PlanShortConvolution(PlanBuilder& plan, uint32_t index) {
  const auto& convolution = *plan.op(index).attributes_as_ShortConvolution();
  const auto& shape = *WeightOf(plan.model(), convolution.weight()).shape();
  const size_t floats =
      static_cast<size_t>(shape.Get(0) - 1) * PaddedColumns(static_cast<size_t>(shape.Get(1)));
  AddStateStep(plan, kShortConvolution, index, {InputOf(plan, index, 0)},
               {convolution.state(), floats});
}

}  // namespace

const StepKind kShortConvolution = {.name = "short_convolution",
                                    .division = Division::kTasks,
                                    .make = MakeRunner<ShortConvolution>,
                                    .plan = PlanShortConvolution};

}  // namespace graft::runtime::ops
