// SPDX-License-Identifier: Apache-2.0
// What both `convert` and `merge` tell of the adapters they merged.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "converter/merge/merge_report.h"

namespace graft::converter {

/// A list with an object for each adapter.
nlohmann::ordered_json AdaptersJson(const MergeReport& report);
/// A list with an object for each tensor that was changed.
nlohmann::ordered_json ChangedTensorsJson(const MergeReport& report);
/// "  adapter NAME: lora, 14 of 14 modules merged, weight 0.5", without the last line's end;
/// further lines name the files that the adapter brings.
std::string AdapterText(const AdapterReport& adapter);

}  // namespace graft::converter
