// SPDX-License-Identifier: Apache-2.0
// Whether an adapter was trained on a quantized base, and whether it is merged into one.
#pragma once

#include <string>
#include <string_view>

#include "converter/checkpoint/checkpoint.h"

namespace graft::converter {

/// Whether a base's name says that it is quantized: "llama-3.2-1b-bnb-4bit", "Qwen2-GPTQ-Int4", ...
bool NamesQuantizedBase(std::string_view name);

/// What to tell about `recorded`, the base an adapter names, and `base`, the one it is merged into.
/// That names on the hub differ is told, too, of a base in the hub's cache.
/// Empty if there is nothing to tell, nothing is recorded, or `rounded` says that the base is rounded as
/// training saw it.
std::string BaseNote(const std::string& recorded, const Checkpoint& base, bool rounded);

}  // namespace graft::converter
