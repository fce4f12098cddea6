// SPDX-License-Identifier: Apache-2.0
// The text that values become, as a template prints them and as JSON, and values of JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "runtime/chat/value.h"
#include "schema/result.h"

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
/// How JSON is written: as Python's json.dumps has it by default.
struct JsonStyle {
  int indent = -1;                  ///< spaces a level; -1: on one line
  std::string_view item_separator;  ///< data() null: ", ", or "," with an indent
  std::string_view key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};

/// Appends the value as JSON the way Python's json.dumps does.
/// Errors   as above;
///          kCorrupt: a value that JSON does not have.
Status AppendJson(Value value, const JsonStyle& style, const WriteLimits& limits, std::string* out);

/// The value of a JSON text, as Python's json.loads gives it. `name`: what messages call the text.
/// Errors   kInvalidArgument: those of JsonTree::Parse, an integer beyond 64 bits;
///          kOutOfRange: the heap's limit.
Result<Value> ReadJsonValue(std::string_view json, const char* name, Heap* heap);

}  // namespace graft::runtime::chat
