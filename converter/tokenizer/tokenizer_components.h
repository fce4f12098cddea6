// SPDX-License-Identifier: Apache-2.0
// How tokenizer.json nests its components: one object of some type, or a Sequence of them.
#pragma once

#include <functional>
#include <string>

#include "converter/json/json.h"
#include "schema/status.h"

namespace graft::converter {

/// An error about a component of a type that is not known; `what` is "normalizer", "decoder", ...
Status UnknownType(const JsonValue& component, const char* what, const std::string& type);

/// Calls visit(component, type) for `component`, or for each element of `list_key` if it is a
/// Sequence, at any depth up to 8. Null is no component.
Status ForEachComponent(const JsonValue& component, const char* list_key,
                        const std::function<Status(const JsonValue&, const std::string&)>& visit);

}  // namespace graft::converter
