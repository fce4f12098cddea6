// SPDX-License-Identifier: Apache-2.0
// Clamp: the nearest number of a range.
#include <algorithm>
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class Clamp final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    low_ = source.attributes<schema::fb::Clamp>().low();
    high_ = source.attributes<schema::fb::Clamp>().high();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    std::transform(in0(begin), in0(end), out(begin),
                   [this](float x) { return std::clamp(x, low_, high_); });
  }

 private:
  float low_ = 0.0f;
  float high_ = 0.0f;
};

}  // namespace

const StepKind kClamp = {.name = "clamp", .make = MakeRunner<Clamp>};

}  // namespace graft::runtime::ops
