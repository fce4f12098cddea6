// SPDX-License-Identifier: Apache-2.0
// LayerNorm: each row, or each head of it, brought to a mean of 0 and a variance of 1.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

class LayerNorm final : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    const schema::fb::LayerNorm& norm = source.attributes<schema::fb::LayerNorm>();
    weight_ = source.floats(norm.weight());
    bias_ = source.floats(norm.bias());
    epsilon_ = norm.epsilon();
    group_ = norm.group();
    return OkStatus();
  }

  void RunRows(const CallState&, size_t begin, size_t end) const override {
    const size_t group = group_ == 0 ? width() : group_;
    for (size_t row = begin; row < end; ++row) {
      for (size_t at = 0; at < width(); at += group) {
        LayerNormRow(in0(row) + at, group, weight_ + at, bias_ == nullptr ? nullptr : bias_ + at,
                     epsilon_, out(row) + at);
      }
    }
  }

 private:
  const float* weight_ = nullptr;
  const float* bias_ = nullptr;  // null: none
  float epsilon_ = 0.0f;
  size_t group_ = 0;  // 0: the whole row
};

}  // namespace

const StepKind kLayerNorm = {.name = "layer_norm", .make = MakeRunner<LayerNorm>};

}  // namespace graft::runtime::ops
