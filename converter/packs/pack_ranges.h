// SPDX-License-Identifier: Apache-2.0
// Cuts a file into ranges, each with the part of the base that it is held against.
#pragma once

#include <cstdint>
#include <vector>

#include "converter/packs/match_headers.h"
#include "schema/packs/pack.h"
#include "schema/verify.h"

namespace graft::converter {

struct UnitRange {
  PackRange range;
  schema::PackUnit unit = schema::PackUnit::kBytes;
};

/// Ranges that follow one another and cover all of `result`. They lie inside the base where they
/// are like something of it.
std::vector<UnitRange> CutIntoRanges(const schema::VerifiedModel& base,
                                     const schema::VerifiedModel& result);

}  // namespace graft::converter
