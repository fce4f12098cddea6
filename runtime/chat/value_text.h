// SPDX-License-Identifier: Apache-2.0
// The text that values become: as a template prints them, and as JSON.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/chat/value.h"
#include "schema/status.h"

namespace graft::runtime::chat {

/// Appends the value as {{ }} prints it: None, True, numbers as Python writes them; lists and maps
/// as Python's repr.
/// Errors   kOutOfRange: more than `max_bytes` in *out, nested deeper than kMaxValueDepth.
Status AppendText(Value value, size_t max_bytes, std::string* out);
/// Appends the value as JSON the way Python's json.dumps does, with `indent` spaces a level; -1: on
/// one line.
/// Errors   as above;
///          kCorrupt: a value that JSON does not have.
Status AppendJson(Value value, int indent, size_t max_bytes, std::string* out);

}  // namespace graft::runtime::chat
