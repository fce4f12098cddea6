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
    for (size_t part = begin * parts_; part < end * parts_; ++part) {
      QuantizeRow(in0() + part * part_width_, part_width_, codes_ + part * part_width_,
                  quantization_ + part);
    }
    // A kernel that works on more rows than are left computes the last one again and again, each
    // time with the next row's quantization, and keeps any of the results.
    if (end == rows()) {
      const size_t all = end * parts_;
      std::fill_n(quantization_ + all, kExtraQuantizations, quantization_[all - 1]);
    }
  }

 protected:
  Status Prepare(const StepPlaces& places) override {
    parts_ = places.plan.values()[static_cast<size_t>(places.step.outputs[0])].parts;
    part_width_ = width() / parts_;
    codes_ = places.output<int8_t>(0);
    quantization_ =
        reinterpret_cast<RowQuantization*>(codes_ + QuantizedCodesBytes(rows(), width()));
    return OkStatus();
  }

 private:
  size_t parts_ = 1;
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

int32_t QuantizedForm(PlanBuilder& plan, uint32_t op, int32_t value, size_t parts) {
  int32_t& form = plan.quantized_form(value, parts);
  if (form >= 0) return form;
  const std::vector<PlanDimension>& shape = plan.value(value).shape;
  const PlanDimension rows = shape[0];
  form = plan.AddValue(ValueKind::kQuantized, rows, static_cast<size_t>(shape[1].size));
  plan.added_value().parts = parts;
  plan.AddStep(kQuantize, op, {value}, {form});
  return form;
}

}  // namespace graft::runtime::ops
