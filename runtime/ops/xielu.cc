// SPDX-License-Identifier: Apache-2.0
// Xielu: an activation whose numbers the model has learned.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Xielu final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::Xielu& xielu = source.attributes<schema::fb::Xielu>();
    shape_ = {xielu.alpha_p(), xielu.alpha_n(), xielu.beta(), xielu.epsilon()};
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) XieluRow(shape_, in0(row), width(), out(row));
  }

 private:
  XieluShape shape_ = {};
};

}  // namespace

const StepKind kXielu = {.name = "xielu", .make = MakeRunner<Xielu>};

}  // namespace graft::runtime::ops
