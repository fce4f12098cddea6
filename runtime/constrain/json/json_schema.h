// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "runtime/constrain/grammar.h"
#include "schema/result.h"

namespace graft::runtime {

/// JSON that `schema`, a JSON Schema of draft 2020-12 or before, allows. in_order: properties
/// stand in the order in which the schema names them, rather than in any. White space: none, one
/// space, or a line's end with an indent of up to 64 characters, behind opening brackets, commas and
/// colons, and before closing brackets.
/// Errors   kInvalidArgument: not JSON, not a schema, a schema that nothing satisfies, over a limit;
///          kUnsupported: a keyword that is not supported. Messages name keyword and place.
Result<Grammar> CompileJsonSchema(std::string_view schema, bool in_order);

}  // namespace graft::runtime
