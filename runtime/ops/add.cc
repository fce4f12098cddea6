// SPDX-License-Identifier: Apache-2.0
// Add: the sum of two values of one shape.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"

namespace graft::runtime::ops {
namespace {

class Add final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) AddRow(in0(row), in1(row), width(), out(row));
  }
};

}  // namespace

const StepKind kAdd = {.name = "add", .make = MakeRunner<Add>};

}  // namespace graft::runtime::ops
