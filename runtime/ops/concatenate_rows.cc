// SPDX-License-Identifier: Apache-2.0
// ConcatenateRows: the rows of several values, one after the other.
#include <algorithm>
#include <cstddef>
#include <vector>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"

namespace graft::runtime::ops {
namespace {

class ConcatenateRows final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      size_t from = row;
      const Part* part = parts_.data();
      for (; from >= part->rows; ++part) from -= part->rows;
      std::copy(part->data + from * width(), part->data + (from + 1) * width(), out(row));
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    parts_.clear();
    for (size_t i = 0; i < places.step.inputs.size(); ++i)
      parts_.push_back({places.input<float>(i), places.input_rows(i)});
    return OkStatus();
  }

 private:
  struct Part {
    const float* data;
    size_t rows;
  };
  std::vector<Part> parts_;
};

}  // namespace

const StepKind kConcatenateRows = {
    .name = "concatenate_rows", .division = Division::kByRows, .make = MakeRunner<ConcatenateRows>};

}  // namespace graft::runtime::ops
