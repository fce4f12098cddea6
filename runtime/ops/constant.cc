// SPDX-License-Identifier: Apache-2.0
// Constant: the numbers of a tensor.
#include <algorithm>
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Constant final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    numbers_ = source.floats(source.attributes<schema::fb::Constant>().tensor());
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    std::copy(numbers_ + begin * width(), numbers_ + end * width(), out(begin));
  }

 private:
  const float* numbers_ = nullptr;
};

}  // namespace

const StepKind kConstant = {.name = "constant", .make = MakeRunner<Constant>};

}  // namespace graft::runtime::ops
