// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "runtime/constrain/grammar.h"
#include "runtime/tools/reply_format.h"
#include "runtime/tools/tool_set.h"
#include "schema/result.h"

namespace graft::runtime {

/// What may follow the mark that opens a call: calls of `tools` whose arguments their schemas allow,
/// up to the closing mark. Arguments that a schema does not name are left out in forms that are not
/// JSON. in_order: as CompileJsonSchema. answer_schema not empty: a whole reply instead, which is
/// calls with their marks, or JSON that this schema allows.
/// Errors   kInvalidArgument: no tools; those of CompileJsonSchema, with the tool's name.
Result<Grammar> CompileTools(const ToolSet& tools, const ReplyFormat& format, bool in_order,
                             std::string_view answer_schema);

}  // namespace graft::runtime
