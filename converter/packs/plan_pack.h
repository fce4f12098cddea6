// SPDX-License-Identifier: Apache-2.0
// What a pack says of each byte of its result: the steps, and which of them are coded together.
#pragma once

#include <cstdint>
#include <vector>

#include "schema/packs/pack.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::converter {

struct PackPlan {
  std::vector<schema::PackStep> steps;
  std::vector<schema::PackBlock> blocks;  ///< places and sizes of coded bytes still unknown
};

/// Holds each tensor of `result` against that of the base with its name and format, or else one of
/// its shape whose bytes are like it, and the header against the base's.
/// Errors   kUnsupported: more steps than a pack may have, or a result that is too much larger than
///          its base; kCancelled.
/// Cost     reads both files once.
Result<PackPlan> PlanPack(const schema::VerifiedModel& base, const schema::VerifiedModel& result);

}  // namespace graft::converter
