// SPDX-License-Identifier: Apache-2.0
// adapter_config.json as mlx-lm writes it: every argument of its training program, of which a few
// decide what the adapter computes.
#pragma once

#include <string>

#include "converter/adapter/adapter_config.h"
#include "converter/json/json.h"

namespace graft::converter {

/// Whether a configuration is mlx-lm's: it has no peft_type, and one of the settings only mlx-lm
/// has.
bool IsMlxConfig(JsonValue root);

/// Errors   kCorrupt: a setting that is missing or of another kind.
///          kUnsupported: a fine_tune_type or setting graft does not know; messages name file and
///          key.
Result<AdapterConfig> ReadMlxConfig(JsonValue root, const std::string& file);

}  // namespace graft::converter
