// SPDX-License-Identifier: Apache-2.0
// RmsNorm: each group of elements divided by the root of its mean square.
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class RmsNorm final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::RmsNorm& norm = source.attributes<schema::fb::RmsNorm>();
    weight_ = source.floats(norm.weight());
    const auto& tensors = *source.plan.model().model().tensors();
    group_ =
        static_cast<size_t>(tensors.Get(static_cast<uint32_t>(norm.weight()))->shape()->Get(0));
    runs_ = norm.runs();
    epsilon_ = norm.epsilon();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) RunRow(in0(row), out(row));
  }

 private:
  void RunRow(const float* x, float* y) const {
    if (runs_ == 0) return RmsNormRow(x, width(), weight_, group_, epsilon_, y);
    const size_t run = group_ / runs_;
    for (size_t at = 0; at < group_; at += run)
      RmsNormRow(x + at, run, weight_ + at, run, epsilon_, y + at);
  }

  const float* weight_ = nullptr;  // [group_]
  size_t group_ = 0;
  size_t runs_ = 0;  // each with weights of its own; 0: all with the same
  float epsilon_ = 0.0f;
};

}  // namespace

const StepKind kRmsNorm = {.name = "rms_norm", .make = MakeRunner<RmsNorm>};

}  // namespace graft::runtime::ops
