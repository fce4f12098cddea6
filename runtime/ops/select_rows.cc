// SPDX-License-Identifier: Apache-2.0
// SelectRows: the rows whose numbers are given.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"

namespace graft::runtime::ops {
namespace {

class SelectRows final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      std::memcpy(out(row), in0(static_cast<size_t>(indices_[row])), width() * sizeof(float));
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    indices_ = places.input<int32_t>(1);
    return OkStatus();
  }

 private:
  const int32_t* indices_ = nullptr;
};

}  // namespace

const StepKind kSelectRows = {
    .name = "select_rows", .division = Division::kByRows, .make = MakeRunner<SelectRows>};

}  // namespace graft::runtime::ops
