// SPDX-License-Identifier: Apache-2.0
// The rules of a mixture's ops: which experts a row is given to, and their products.
#include <cinttypes>
#include <cmath>
#include <cstdint>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"

namespace graft::schema {
namespace {

Status CheckRoute(OpChecker& op, const fb::Route& route) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 2));
  int64_t experts = 0;
  int64_t weights = 0;
  int64_t choices = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &experts));
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Output(0), &weights));
  GRAFT_RETURN_IF_ERROR(op.ExpectChoices(op.Output(1), &choices));
  if (experts > kMaxExperts || choices > experts || weights != choices) {
    return op.OpError("gives %" PRId64 " weights to %" PRId64 " of %" PRId64
                      " experts; there are as many weights as choices, and at most %u experts",
                      weights, choices, experts, kMaxExperts);
  }
  for (uint32_t i = 0; i < 2; ++i)
    GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Output(i)));
  if (route.kind() > fb::RoutingKind::MAX)
    return op.Unknown("routes by", static_cast<unsigned>(route.kind()));
  if (route.bias() != -1) {
    GRAFT_RETURN_IF_ERROR(op.ExpectVector(route.bias(), experts, "bias"));
    if (route.kind() == fb::RoutingKind::SparseMixer) return op.OpError("mixes, and has a bias");
  }
  for (const float number : {route.epsilon(), route.scale(), route.jitter()}) {
    if (!std::isfinite(number) || number < 0.0f)
      return op.OpError("has a number that is not finite, or below 0");
  }
  op.ExpertsOf(op.op().outputs()->Get(1)) = static_cast<uint32_t>(experts);
  return OkStatus();
}

Status CheckExpertLinear(OpChecker& op, const fb::ExpertLinear& linear) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(2, 1));
  GRAFT_ASSIGN_OR_RETURN(const fb::Tensor* weight, op.MatrixAt(linear.weight(), "weight"));
  int64_t choices = 0;
  int64_t width = 0;
  int64_t out_width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectChoices(op.Input(1), &choices));
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Output(0), &out_width));
  const uint32_t experts = op.ExpertsOf(op.op().inputs()->Get(1));
  if (experts == 0 || experts != linear.experts()) {
    return op.OpError("has %u experts, and choices among %u", linear.experts(), experts);
  }
  const int64_t rows = weight->shape()->Get(0);
  const int64_t in_features = weight->shape()->Get(1);
  if (rows % experts != 0 || rows / experts * choices != out_width) {
    return op.OpError("gives %" PRId64 " numbers for %" PRId64 " choices, its weight has %" PRId64
                      " rows for %u experts",
                      out_width, choices, rows, experts);
  }
  if (width != in_features && width != in_features * choices) {
    return op.OpError("takes %" PRId64 " numbers for %" PRId64 " choices, its weight %" PRId64,
                      width, choices, in_features);
  }
  if (linear.bias() != -1) GRAFT_RETURN_IF_ERROR(op.ExpectVector(linear.bias(), rows, "bias"));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(0), op.Input(1)));
  return op.ExpectSameRows(op.Input(0), op.Output(0));
}

}  // namespace

Status CheckExperts(OpChecker& op) {
  const fb::Op& kind = op.op();
  if (const auto* route = kind.attributes_as_Route()) return CheckRoute(op, *route);
  return CheckExpertLinear(op, *kind.attributes_as_ExpertLinear());
}

}  // namespace graft::schema
