// SPDX-License-Identifier: Apache-2.0
// The tree behind JsonDocument: shared by its parser and its accessors only.
#pragma once

#include "converter/json/json.h"

namespace graft::converter {

struct JsonDocument::Node {
  JsonKind kind = JsonKind::kNull;
  uint32_t parent = 0;
  uint32_t first = 0;       // containers: the first member's node
  uint32_t count = 0;       // containers: how many members
  uint32_t sorted = 0;      // objects: where in by_key_ the sorted members start
  uint32_t key_offset = 0;  // members of objects: the key within text_
  uint32_t key_bytes = 0;
  uint32_t text_offset = 0;  // strings
  uint32_t text_bytes = 0;
  union {
    int64_t integer = 0;  // kInteger, kBool
    double number;        // kNumber
  };
};

inline std::string_view JsonDocument::KeyOf(const Node& node) const {
  return std::string_view(text_).substr(node.key_offset, node.key_bytes);
}

}  // namespace graft::converter
