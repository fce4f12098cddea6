// SPDX-License-Identifier: Apache-2.0
// Places may be stored as floating-point numbers: PEFT writes those on Windows.
#include "converter/merge/kinds/places.h"

#include <cmath>

#include "converter/merge/kinds/linear_layer.h"

namespace graft::converter {

Status ReadPlaces(StoredFactor stored, int64_t limit, std::vector<int64_t>* out) {
  std::vector<double> values;
  GRAFT_RETURN_IF_ERROR(ReadAll(stored, &values));
  out->clear();
  for (const double value : values) {
    if (!(value >= 0 && value < static_cast<double>(limit) && value == std::floor(value))) {
      return Error(StatusCode::kCorrupt,
                   "%s: tensor '%s' holds the place %.17g, which is none of 0 to %lld",
                   stored.file->FileOf(*stored.entry).path().c_str(),
                   stored.entry->info.name.c_str(), value, static_cast<long long>(limit - 1));
    }
    out->push_back(static_cast<int64_t>(value));
  }
  return OkStatus();
}

}  // namespace graft::converter
