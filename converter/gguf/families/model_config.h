// SPDX-License-Identifier: Apache-2.0
// config.json, made of what a GGUF file says of its model.
#pragma once

#include <string>

#include "converter/gguf/families/families.h"
#include "converter/gguf/families/gguf_parts.h"
#include "schema/result.h"

namespace graft::converter {

/// The text of a config.json as transformers would have written it.
/// Errors   kNotFound, kCorrupt: settings that are missing or impossible;
///          kUnsupported: such as change what the model computes and have no place in the config.
Result<std::string> GgufModelConfig(const GgufParts& parts, const GgufFamily& family);

}  // namespace graft::converter
