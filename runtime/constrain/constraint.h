// SPDX-License-Identifier: Apache-2.0
// What a text must be, compiled into a grammar of its bytes.
#pragma once

#include <span>
#include <string_view>

#include "runtime/constrain/grammar.h"
#include "schema/result.h"

namespace graft::runtime {

/// Text that `regex` matches as a whole.
/// Errors   as ParseRegex.
Result<Grammar> CompileRegex(std::string_view regex);

/// One of `choices`.
/// Errors   kInvalidArgument: none, an empty one, or one that is not UTF-8.
Result<Grammar> CompileChoices(std::span<const std::string_view> choices);

}  // namespace graft::runtime
