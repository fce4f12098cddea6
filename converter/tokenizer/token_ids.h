// SPDX-License-Identifier: Apache-2.0
// What a tokenizer's document says of ids, whatever its kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "converter/json/json.h"

namespace graft::converter {

/// How many ids a tokenizer.json gives out, by its members `model` and `added_tokens`; 0 where its
/// vocabulary is of an unknown form.
int64_t CountTokenIds(const JsonValue& model, const JsonValue& added);

/// The id of the token that reads `text`; none if no token does.
std::optional<int64_t> FindTokenId(const JsonValue& model, const JsonValue& added,
                                   std::string_view text);

}  // namespace graft::converter
