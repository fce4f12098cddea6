// SPDX-License-Identifier: Apache-2.0
// Names of activation functions, as configurations write them.
#pragma once

#include <string_view>

#include "converter/json/json.h"
#include "schema/result.h"

namespace graft::schema::fb {
enum class ActivationKind : uint8_t;
}

namespace graft::converter {

/// The activation called `name`, such as "silu" or "gelu_pytorch_tanh".
/// Errors   kUnsupported: an unknown name; the message lists the known ones.
Result<schema::fb::ActivationKind> ActivationFromName(std::string_view name);

/// The activation that member `key` of `object` names.
/// Errors   those of ActivationFromName, naming file and key;
///          kCorrupt: missing or not a string.
Result<schema::fb::ActivationKind> ReadActivation(const JsonValue& object, std::string_view key);

}  // namespace graft::converter
