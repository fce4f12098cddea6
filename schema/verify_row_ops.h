// SPDX-License-Identifier: Apache-2.0
// The rules of ops that take rows apart, put them together, measure them, or go by their positions.
#pragma once

#include <cstdint>

#include "schema/status.h"

namespace graft::schema {

namespace fb {
struct Attention;
struct GaussianTopK;
struct MatchRms;
struct Rope;
struct RowWindows;
struct SelectColumns;
struct WeightedSum;
}  // namespace fb

class OpChecker;

/// Each holds the op to what schema/model.fbs says of its kind.
/// Errors   kCorrupt, naming the op.
Status CheckSelectRows(const OpChecker& op);
Status CheckSelectColumns(const OpChecker& op, const fb::SelectColumns& select);
Status CheckWeightedSum(const OpChecker& op, const fb::WeightedSum& sum);
Status CheckGaussianTopK(const OpChecker& op, const fb::GaussianTopK& top);
Status CheckMatchRms(const OpChecker& op, const fb::MatchRms& match);
Status CheckRowWindows(const OpChecker& op, const fb::RowWindows& windows);
/// Where a rope's angles come from: frequencies and perhaps their axes, or a table, whose rows bound
/// *positions (0: nothing does).
Status CheckAngles(const OpChecker& op, const fb::Rope& rope, bool of_patches, uint64_t* positions);
/// Requires an attention that has position tables.
Status CheckPositionTables(const OpChecker& op, const fb::Attention& attention);

/// Whichever of the kinds above from SelectColumns on the op is of.
Status CheckRowKind(const OpChecker& op);

}  // namespace graft::schema
