// SPDX-License-Identifier: Apache-2.0
// Every setting that PEFT's adapter_config.json may hold, and what graft does about it.
#pragma once

#include <string_view>
#include <vector>

#include "converter/adapter/adapter_kind.h"
#include "converter/json/json.h"

namespace graft::converter {

/// The setting of that name: the kind's own, or one it shares with others; null if it has none.
const Setting* FindSetting(const AdapterKind& kind, std::string_view key);

/// The settings of a kind that cannot be merged: its own, then those that it shares with others.
std::vector<const Setting*> RefusedSettings(const AdapterKind& kind);

/// Whether a value says "off": null, false, an empty string, array or object.
bool IsOff(JsonValue value);

}  // namespace graft::converter
