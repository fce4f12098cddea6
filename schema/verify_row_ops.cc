// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_row_ops.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdint>

#include "schema/generated/model_generated.h"
#include "schema/op_checker.h"

namespace graft::schema {

Status CheckSelectRows(const OpChecker& op) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(2, 1));
  GRAFT_RETURN_IF_ERROR(op.ExpectOrigin(1, Origin::kOutputRows, "OutputRows"));
  if (op.InputOrigin(0) == Origin::kPositions) {
    GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
    return op.ExpectSameShape(op.Input(1), op.Output(0));
  }
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  // The runtime picks rows of this call's tokens, so only values with one row for each token may
  // be picked from.
  GRAFT_RETURN_IF_ERROR(op.ExpectTokenRows());
  GRAFT_RETURN_IF_ERROR(op.ExpectWidth(op.Output(0), width));
  return op.ExpectSameRows(op.Input(1), op.Output(0));
}

Status CheckSelectColumns(const OpChecker& op, const fb::SelectColumns& select) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t columns = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &columns));
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Output(0), &width));
  if (int64_t{select.begin()} + width > columns) {
    return op.OpError("takes %" PRId64 " columns from %u on, of %" PRId64, width, select.begin(),
                      columns);
  }
  return op.ExpectSameRows(op.Input(0), op.Output(0));
}

Status CheckWeightedSum(const OpChecker& op, const fb::WeightedSum& sum) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(std::max(2u, op.input_count()), 1));
  int64_t columns = 0;
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(1), &columns));
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Output(0), &width));
  // Inputs are at most 2^32 of at most 2^31 parts.
  int64_t parts = 0;
  for (uint32_t i = 0; i < op.input_count(); ++i) {
    GRAFT_RETURN_IF_ERROR(op.ExpectSameRows(op.Input(i), op.Output(0)));
    if (i == 1) continue;
    int64_t wide = 0;
    GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(i), &wide));
    if (wide % width != 0) {
      return op.OpError("adds parts of %" PRId64 ", but an input of its has a width of %" PRId64,
                        width, wide);
    }
    parts += wide / width;
  }
  if (parts > columns - int64_t{sum.begin()}) {
    return op.OpError("adds %" PRId64 " parts by weights from column %u on, of %" PRId64, parts,
                      sum.begin(), columns);
  }
  return OkStatus();
}

Status CheckGaussianTopK(const OpChecker& op, const fb::GaussianTopK& top) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(1, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  if (!std::isfinite(top.deviations())) return op.OpError("has deviations that are not finite");
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckMatchRms(const OpChecker& op, const fb::MatchRms& match) {
  GRAFT_RETURN_IF_ERROR(op.ExpectOperands(2, 1));
  int64_t width = 0;
  GRAFT_RETURN_IF_ERROR(op.ExpectMatrix(op.Input(0), &width));
  GRAFT_RETURN_IF_ERROR(op.ExpectPositive(match.floor(), "floor"));
  GRAFT_RETURN_IF_ERROR(op.ExpectSameShape(op.Input(0), op.Input(1)));
  return op.ExpectSameShape(op.Input(0), op.Output(0));
}

Status CheckRowKind(const OpChecker& op) {
  const fb::Op& kind = op.op();
  switch (kind.attributes_type()) {
    case fb::OpAttributes::SelectColumns:
      return CheckSelectColumns(op, *kind.attributes_as_SelectColumns());
    case fb::OpAttributes::WeightedSum:
      return CheckWeightedSum(op, *kind.attributes_as_WeightedSum());
    case fb::OpAttributes::GaussianTopK:
      return CheckGaussianTopK(op, *kind.attributes_as_GaussianTopK());
    case fb::OpAttributes::MatchRms:
      return CheckMatchRms(op, *kind.attributes_as_MatchRms());
    default:
      return CheckRowWindows(op, *kind.attributes_as_RowWindows());
  }
}

}  // namespace graft::schema
