// SPDX-License-Identifier: Apache-2.0
// Places in another tensor, as adapters store them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "converter/merge/updates/low_rank_rows.h"

namespace graft::converter {

/// All numbers of a tensor of places, as whole numbers.
/// Errors   kCorrupt: one is no whole number from 0 to below `limit`.
Status ReadPlaces(StoredFactor stored, int64_t limit, std::vector<int64_t>* out);

}  // namespace graft::converter
