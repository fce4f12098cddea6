// SPDX-License-Identifier: Apache-2.0
// Activation, and GatedActivation, which multiplies by a second value.
#include <cstddef>

#include "runtime/executor/step_runner.h"
#include "runtime/kernels/row_kernels.h"
#include "runtime/ops/op_table.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime::ops {
namespace {

Activation ActivationOf(schema::fb::ActivationKind kind) {
  using Kind = schema::fb::ActivationKind;
  switch (kind) {
    case Kind::Silu:
      return Activation::kSilu;
    case Kind::Gelu:
      return Activation::kGelu;
    case Kind::GeluTanh:
      return Activation::kGeluTanh;
    case Kind::Relu:
      return Activation::kRelu;
    case Kind::Tanh:
      return Activation::kTanh;
    case Kind::Sigmoid:
      return Activation::kSigmoid;
    case Kind::QuickGelu:
      return Activation::kQuickGelu;
    case Kind::ReluSquared:
      return Activation::kReluSquared;
  }
  return Activation::kSilu;
}

template <class Attributes>
class WithActivation : public StepRunner {
 public:
  Status Read(const StepSource& source) override {
    activation_ = ActivationOf(source.attributes<Attributes>().kind());
    return OkStatus();
  }

 protected:
  Activation activation_ = Activation::kSilu;
};

class Activate final : public WithActivation<schema::fb::Activation> {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      ActivationRow(activation_, in0(row), width(), out(row));
  }
};

class ActivateGate final : public WithActivation<schema::fb::GatedActivation> {
 public:
  void RunRows(const CallState&, size_t begin, size_t end) const override {
    for (size_t row = begin; row < end; ++row)
      GatedActivationRow(activation_, in0(row), in1(row), width(), out(row));
  }
};

}  // namespace

const StepKind kActivation = {.name = "activation", .make = MakeRunner<Activate>};
const StepKind kGatedActivation = {.name = "gated_activation", .make = MakeRunner<ActivateGate>};

}  // namespace graft::runtime::ops
