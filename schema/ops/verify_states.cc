// SPDX-License-Identifier: Apache-2.0
// The rules of ops that go through rows one after the other and keep a state.
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <initializer_list>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"

namespace graft::schema {
namespace {

// The state of [rows, width] that the op keeps, or instead of it TextEnds, the last of `inputs`
// inputs. Requires sizes whose product fits 64 bits.
Status CheckState(OpChecker& op, int32_t index, int64_t rows, int64_t width, uint32_t inputs) {
  if (index == -1) {
    GRAFT_RETURN_IF_ERROR(op.ExpectOperands(inputs + 1, 1));
    GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(inputs, Origin::kTextEnds, "TextEnds"));
  } else {
    GRAFT_RETURN_IF_ERROR(op.ExpectOperands(inputs, 1));
    GRAFT_ASSIGN_OR_RETURN(const fb::State* state, op.StateAt(index));
    if (state->rows() != rows || state->width() != width) {
      return op.OpError("keeps [%" PRId64 ", %" PRId64 "], its state is [%u, %u]", rows, width,
                        state->rows(), state->width());
    }
    GRAFT_RETURN_IF_ERROR(op.UseState(index));
  }
  if (rows * width > kMaxDimension) {
    return op.OpError("keeps %" PRId64 " numbers, at most %" PRId64 " are allowed", rows * width,
                      kMaxDimension);
  }
  for (uint32_t i = 1; i < inputs; ++i)
    GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Input(i)));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Output(0)));
  return op.ExpectTokenRows();
}

// Inputs that are no TextEnds.
uint32_t OwnInputs(const OpChecker& op, int32_t state) {
  return op.input_count() - (state == -1 && op.input_count() > 0 ? 1 : 0);
}

// Each number in [1, most], so that products of three fit 64 bits.
Status ExpectCounts(const OpChecker& op, std::initializer_list<uint32_t> counts) {
  for (const uint32_t count : counts) {
    if (count < 1 || count > kMaxHeads)
      return op.OpError("has a size of %u; 1 to %u are allowed", count, kMaxHeads);
  }
  return OkStatus();
}

Status CheckShortConvolution(OpChecker& op, const fb::ShortConvolution& convolution) {
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, op.MatrixAt(convolution.weight(), "weight"));
  const int64_t kernel = weight->shape()->Get(0);
  const int64_t width = weight->shape()->Get(1);
  if (weight->format() != fb::TensorFormat::Float32 || kernel < 2 || kernel > kMaxHeads)
    return op.OpError("needs a weight of f32 [2 to %u, width]", kMaxHeads);
  if (convolution.bias() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(convolution.bias(), width, "bias"));
  GRAFT_RETURN_IF_ERROR(CheckState(op, convolution.state(), kernel - 1, width, 1));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), convolution.gated() ? 3 * width : width));
  return op.ExpectWidth(op.Output(0), width);
}

Status CheckGatedDeltaRule(OpChecker& op, const fb::GatedDeltaRule& rule) {
  GRAFT_RETURN_IF_ERROR(
      ExpectCounts(op, {rule.key_heads(), rule.value_heads(), rule.key_dim(), rule.value_dim()}));
  if (rule.value_heads() % rule.key_heads() != 0) {
    return op.OpError("has %u value heads, not a multiple of its %u key heads", rule.value_heads(),
                      rule.key_heads());
  }
  const int64_t value_heads = rule.value_heads();
  const int64_t keys = int64_t{rule.key_heads()} * rule.key_dim();
  const int64_t values = value_heads * rule.value_dim();
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(rule.rates(), value_heads, "rates"));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(rule.offsets(), value_heads, "offsets"));
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(rule.epsilon(), "epsilon"));
  GRAFT_RETURN_IF_ERROR(
      CheckState(op, rule.state(), value_heads * rule.key_dim(), rule.value_dim(), 3));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), 2 * keys + values));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(1), value_heads));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(2), value_heads));
  return op.ExpectWidth(op.Output(0), values);
}

Status CheckScanTensors(const OpChecker& op, const fb::SelectiveScan& scan) {
  int64_t rates = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(scan.rates(), 0, "rates", &rates));
  if (rates != scan.heads() && rates != int64_t{scan.heads()} * scan.state_dim())
    return op.OpError("has %" PRId64 " rates for %u heads of %u", rates, scan.heads(),
                      scan.state_dim());
  if (scan.offsets() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(scan.offsets(), scan.heads(), "offsets"));
  if (scan.skips() != -1)
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(scan.skips(), scan.heads(), "skips"));
  if (!std::isfinite(scan.step_low()) || !std::isfinite(scan.step_high()) ||
      scan.step_low() < 0.0f || (scan.step_high() != 0.0f && scan.step_high() < scan.step_low()))
    return op.OpError("has steps of %g to %g", scan.step_low(), scan.step_high());
  return OkStatus();
}

Status CheckSelectiveScan(OpChecker& op, const fb::SelectiveScan& scan) {
  GRAFT_RETURN_IF_ERROR(
      ExpectCounts(op, {scan.heads(), scan.head_dim(), scan.groups(), scan.state_dim()}));
  if (scan.heads() % scan.groups() != 0)
    return op.OpError("has %u heads, not a multiple of its %u groups", scan.heads(), scan.groups());
  GRAFT_RETURN_IF_ERROR(CheckScanTensors(op, scan));
  const int64_t width = int64_t{scan.heads()} * scan.head_dim();
  const int64_t shared = int64_t{scan.groups()} * scan.state_dim();
  const uint32_t inputs = OwnInputs(op, scan.state());
  const bool apart = inputs == 3;
  GRAFT_RETURN_IF_ERROR(CheckState(op, scan.state(), shared, width / scan.groups(), apart ? 3 : 2));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), apart ? width : width + 2 * shared));
  if (apart) GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(1), 2 * shared));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(inputs - 1), scan.heads()));
  return op.ExpectWidth(op.Output(0), width);
}

Status CheckGatedRecurrence(OpChecker& op, const fb::GatedRecurrence& recurrence) {
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(recurrence.rates(), 0, "rates", &width));
  GRAFT_RETURN_IF_ERROR(CheckState(op, recurrence.state(), 1, width, 1));
  if (recurrence.blocks() < 1 || width % recurrence.blocks() != 0)
    return op.OpError("has %u blocks of %" PRId64 " columns", recurrence.blocks(), width);
  const int64_t weights = width / recurrence.blocks() * width;
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(recurrence.input_weight(), weights, "input_weight"));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(recurrence.gate_weight(), weights, "gate_weight"));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(recurrence.input_bias(), width, "input_bias"));
  GRAFT_RETURN_IF_ERROR(op.ExpectVector(recurrence.gate_bias(), width, "gate_bias"));
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Input(0), width));
  return op.ExpectWidth(op.Output(0), width);
}

}  // namespace

Status CheckStateKind(OpChecker& op) {
  const fb::Op& kind = op.op();
  switch (kind.attributes_type()) {
    case fb::OpAttributes::ShortConvolution:
      return CheckShortConvolution(op, *kind.attributes_as_ShortConvolution());
    case fb::OpAttributes::GatedDeltaRule:
      return CheckGatedDeltaRule(op, *kind.attributes_as_GatedDeltaRule());
    case fb::OpAttributes::SelectiveScan:
      return CheckSelectiveScan(op, *kind.attributes_as_SelectiveScan());
    case fb::OpAttributes::GatedRecurrence:
      return CheckGatedRecurrence(op, *kind.attributes_as_GatedRecurrence());
    default:
      return op.OpError("has no kind");
  }
}

}  // namespace graft::schema
