// SPDX-License-Identifier: Apache-2.0
// PoolRows: the rows of each text made one.
#include "runtime/kernels/pool_rows.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "runtime/executor/step_runner.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

using schema::fb::PoolKind;

class PoolRows final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    kind_ = source.attributes<schema::fb::PoolRows>().kind();
    index_ = source.attributes<schema::fb::PoolRows>().index();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row) {
      const bool by_texts = text_ends_ != nullptr;
      const auto first = static_cast<size_t>(by_texts && row > 0 ? text_ends_[row - 1] : 0);
      const size_t last = by_texts ? static_cast<size_t>(text_ends_[row]) : input_rows_;
      Pool(first, last, out(row));
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    input_rows_ = places.input_rows(0);
    text_ends_ = places.input<int32_t>(1);
    return OkStatus();
  }

 private:
  // One row of the rows [first, last) of the input.
  void Pool(size_t first, size_t last, float* out) const {
    const size_t rows = last - first;
    switch (kind_) {
      case PoolKind::Row: {
        const size_t index =
            static_cast<size_t>(index_ < 0 ? static_cast<ptrdiff_t>(rows) + index_ : index_);
        std::copy(in0(first + index), in0(first + index + 1), out);
        break;
      }
      case PoolKind::Mean:
        MeanOfRows(in0(first), rows, width(), out);
        break;
      case PoolKind::Max:
        MaxOfRows(in0(first), rows, width(), out);
        break;
    }
  }

  PoolKind kind_ = PoolKind::Row;
  ptrdiff_t index_ = 0;
  size_t input_rows_ = 0;
  const int32_t* text_ends_ = nullptr;  // null: all rows are one text
};

}  // namespace

const StepKind kPoolRows = {
    .name = "pool_rows", .division = Division::kByRows, .make = MakeRunner<PoolRows>};

}  // namespace graft::runtime::ops
