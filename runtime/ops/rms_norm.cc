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
    epsilon_ = norm.epsilon();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      RmsNormRow(in0(row), width(), weight_, group_, epsilon_, out(row));
  }

 private:
  const float* weight_ = nullptr;  // [group_]
  size_t group_ = 0;
  float epsilon_ = 0.0f;
};

}  // namespace

const StepKind kRmsNorm = {.name = "rms_norm", .make = MakeRunner<RmsNorm>};

}  // namespace graft::runtime::ops
