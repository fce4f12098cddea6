// SPDX-License-Identifier: Apache-2.0
// TakeRows: rows by fixed numbers, in any order, as often as they are asked for.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class TakeRows final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    rows_ = source.attributes<schema::fb::TakeRows>().rows()->data();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      if (rows_[row] < 0) {
        std::fill_n(out(row), width(), 0.0f);
      } else {
        std::copy_n(in0(static_cast<size_t>(rows_[row])), width(), out(row));
      }
    }
  }

 private:
  const int32_t* rows_ = nullptr;
};

}  // namespace

const StepKind kTakeRows = {
    .name = "take_rows", .division = Division::kByRows, .make = MakeRunner<TakeRows>};

}  // namespace graft::runtime::ops
