// SPDX-License-Identifier: Apache-2.0
// Every setting that PEFT's adapter_config.json may hold, and what graft does about it.
#pragma once

#include <cstdint>
#include <string_view>

#include "converter/adapter/adapter_config.h"

namespace graft::converter {

enum class SettingUse : uint8_t {
  kRead,     ///< Takes part in the merge; AdapterConfig holds it.
  kIgnored,  ///< Concerns training or names things; any value merges the same.
  kRefused,  ///< Merges only when null, false or empty; otherwise `reason` says why not.
};

struct Setting {
  std::string_view key;
  uint32_t types;  ///< Bit 1 << AdapterType for each kind that has it.
  SettingUse use;
  std::string_view reason;
};

/// Null if `type` has no setting of that name.
const Setting* FindSetting(AdapterType type, std::string_view key);

/// Whether a value says "off": null, false, an empty string, array or object.
bool IsOff(JsonValue value);

struct PeftType {
  std::string_view name;
  bool mergeable;
  AdapterType type;         ///< If mergeable.
  std::string_view reason;  ///< If not.
};

/// Null for a kind graft has never heard of.
const PeftType* FindPeftType(std::string_view name);

}  // namespace graft::converter
