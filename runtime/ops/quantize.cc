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
    for (size_t row = begin; row < end; ++row) {
      RowQuantization* quantization =
          quantization_ + row * form_.parts + row / form_.block_rows * kExtraQuantizations;
      for (size_t part = 0; part < form_.parts; ++part) {
        const size_t at = part * part_width_;
        QuantizeRow(in0(row) + at, part_width_, codes_ + row * width() + at, quantization + part);
      }
      // A kernel that works on more rows than are left computes the last one again and again, each
      // time with the next row's quantization, and keeps any of the results.
      if (row + 1 == rows() || (row + 1) % form_.block_rows == 0) {
        std::fill_n(quantization + form_.parts, kExtraQuantizations, quantization[form_.parts - 1]);
      }
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
