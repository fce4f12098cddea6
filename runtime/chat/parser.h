// SPDX-License-Identifier: Apache-2.0
// Turns the tokens of a chat template into a tree.
#pragma once

#include <memory>
#include <string>

#include "runtime/chat/syntax.h"
#include "schema/result.h"

namespace graft::runtime::chat {

/// Parses `source`, a template in the part of Jinja 3.1 that chat templates use: all expressions,
/// if, for (without recursive), set, macro, call, filter, raw, break, continue, generation.
/// Errors   kCorrupt: no such template, or one beyond the limits of syntax.h;
///          kUnsupported: a statement that graft does not know. The message names the line.
Result<std::unique_ptr<const Syntax>> ParseTemplate(std::string source);

}  // namespace graft::runtime::chat
