// SPDX-License-Identifier: Apache-2.0
// Cuts a chat template into tokens, with white space around tags removed as Jinja does it under
// trim_blocks and lstrip_blocks, which transformers sets.
#pragma once

#include <vector>

#include "runtime/chat/syntax.h"
#include "schema/result.h"

namespace graft::runtime::chat {

/// Tokens of syntax->source, the last of them of kind kEnd. Line ends in the source are made "\n"
/// and the last one removed.
/// Errors   kCorrupt: a tag that does not end, a character that no token starts with, a broken
///          number; the message names the line.
Result<std::vector<Token>> ReadTokens(Syntax* syntax);

}  // namespace graft::runtime::chat
