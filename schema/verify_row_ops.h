// SPDX-License-Identifier: Apache-2.0
// The rules of ops that take rows apart, put them together, or measure them.
#pragma once

#include "schema/status.h"

namespace graft::schema {

namespace fb {
struct GaussianTopK;
struct MatchRms;
struct SelectColumns;
struct WeightedSum;
}  // namespace fb

class OpChecker;

/// Each holds the op to what schema/model.fbs says of its kind.
/// Errors   kCorrupt, naming the op.
Status CheckSelectColumns(const OpChecker& op, const fb::SelectColumns& select);
Status CheckWeightedSum(const OpChecker& op, const fb::WeightedSum& sum);
Status CheckGaussianTopK(const OpChecker& op, const fb::GaussianTopK& top);
Status CheckMatchRms(const OpChecker& op, const fb::MatchRms& match);

}  // namespace graft::schema
