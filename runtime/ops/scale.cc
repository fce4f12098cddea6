// SPDX-License-Identifier: Apache-2.0
// Scale: a value times a number.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Scale final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    factor_ = source.attributes<schema::fb::Scale>().factor();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) ScaleRow(in0(row), factor_, width(), out(row));
  }

 private:
  float factor_ = 1.0f;
};

}  // namespace

const StepKind kScale = {.name = "scale", .make = MakeRunner<Scale>};

}  // namespace graft::runtime::ops
