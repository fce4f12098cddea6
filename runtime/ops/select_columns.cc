// SPDX-License-Identifier: Apache-2.0
// SelectColumns: a run of each row's numbers.
#include <algorithm>
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class SelectColumns final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    begin_ = source.attributes<schema::fb::SelectColumns>().begin();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      std::copy_n(wide_ + row * columns_ + begin_, width(), out(row));
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    wide_ = places.input<float>(0);
    columns_ = places.plan.row_elements(places.step.inputs[0], places.binding);
    return OkStatus();
  }

 private:
  size_t begin_ = 0;
  size_t columns_ = 0;
  const float* wide_ = nullptr;
};

}  // namespace

const StepKind kSelectColumns = {.name = "select_columns", .make = MakeRunner<SelectColumns>};

}  // namespace graft::runtime::ops
