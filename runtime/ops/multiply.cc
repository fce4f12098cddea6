// SPDX-License-Identifier: Apache-2.0
// Multiply: the product of two values of one shape, element by element.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"

namespace graft::runtime::ops {
namespace {

class Multiply final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) MultiplyRow(in0(row), in1(row), width(), out(row));
  }
};

}  // namespace

const StepKind kMultiply = {.name = "multiply", .make = MakeRunner<Multiply>};

}  // namespace graft::runtime::ops
