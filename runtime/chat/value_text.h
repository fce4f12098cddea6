// SPDX-License-Identifier: Apache-2.0
// The text that values become: as a template prints them, and as JSON.
#pragma once

#include <cstddef>
#include <string>

#include "runtime/chat/value.h"
#include "schema/status.h"

namespace graft::runtime::chat {

/// What writing may take. A step goes for each value, and for the bytes of texts.
struct WriteLimits {
  size_t max_bytes;  ///< in *out, with what was there
  size_t* steps_left;
};

/// Appends the value as {{ }} prints it: None, True, numbers as Python writes them; lists and maps
/// as Python's repr.
/// Errors   kOutOfRange: beyond the limits, nested deeper than kMaxValueDepth.
Status AppendText(Value value, const WriteLimits& limits, std::string* out);
/// Appends the value as JSON the way Python's json.dumps does, with `indent` spaces a level; -1: on
/// one line.
/// Errors   as above;
///          kCorrupt: a value that JSON does not have.
Status AppendJson(Value value, int indent, const WriteLimits& limits, std::string* out);

}  // namespace graft::runtime::chat
