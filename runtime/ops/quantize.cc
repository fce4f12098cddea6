// SPDX-License-Identifier: Apache-2.0
#include "runtime/ops/quantize.h"

#include <algorithm>
#include <vector>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

// int8 codes and a RowQuantization for each part of each row.
class Quantize final : public StepRunner {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end;) {
      const size_t block = row / form_.block_rows;
      const size_t after = std::min(end, (block + 1) * form_.block_rows);
      RowQuantization* quantization =
          quantization_ + row * form_.parts + block * kExtraQuantizations;
      const size_t parts = (after - row) * form_.parts;
      QuantizeRows(in0(row), parts, part_width_, codes_ + row * width(), quantization);
      row = after;
      // A kernel that works on more rows than are left computes the last one again and again, each
      // time with the next row's quantization, and keeps any of the results.
      if (row == rows() || row % form_.block_rows == 0)
        std::fill_n(quantization + parts, kExtraQuantizations, quantization[parts - 1]);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    form_ = places.plan.values()[static_cast<size_t>(places.step.outputs[0])].quantized;
    if (form_.block_rows == 0) form_.block_rows = rows() + 1;
    part_width_ = width() / form_.parts;
    codes_ = places.output<int8_t>(0);
    quantization_ =
        reinterpret_cast<RowQuantization*>(codes_ + QuantizedCodesBytes(rows(), width()));
    return OkStatus();
  }

 private:
  QuantizedRows form_;
  size_t part_width_ = 0;
  int8_t* codes_ = nullptr;
  RowQuantization* quantization_ = nullptr;
};

const StepKind kQuantize = {.name = "quantize", .make = MakeRunner<Quantize>};

}  // namespace

bool IsQuantized(schema::fb::TensorFormat format) {
  using Format = schema::fb::TensorFormat;
  return format == Format::Int8PerChannel || format == Format::Int4Block ||
         format == Format::Int4PerChannel;
}

int32_t QuantizedForm(PlanBuilder& plan, uint32_t op, int32_t value, const QuantizedRows& form) {
  int32_t& known = plan.quantized_form(value, form);
  if (known >= 0) return known;
  const PlanValue& input = plan.value(value);
  const PlanDimension rows = input.shape[0];
  const size_t width = input.width != 0 ? input.width : static_cast<size_t>(input.shape[1].size);
  known = plan.AddValue(ValueKind::kQuantized, rows, width);
  plan.added_value().quantized = form;
  plan.AddStep(kQuantize, op, {value}, {known});
  return known;
}

}  // namespace graft::runtime::ops
