// SPDX-License-Identifier: Apache-2.0
// GBNF: grammars as llama.cpp writes them.
#pragma once

#include <string_view>

#include "runtime/constrain/grammar.h"
#include "schema/result.h"

namespace graft::runtime {

inline constexpr size_t kMaxGbnfBytes = size_t{1} << 20;
inline constexpr size_t kMaxGbnfDepth = 200;  ///< groups within groups

/// Text that the rule `root` matches. Rules that do not lead back to themselves become expressions.
/// Errors   kInvalidArgument: not a grammar, a rule that is missing or begins with itself, nothing
///          that matches, over a limit. Messages name the line.
Result<Grammar> CompileGbnf(std::string_view text);

}  // namespace graft::runtime
