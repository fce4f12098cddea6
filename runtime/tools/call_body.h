// SPDX-License-Identifier: Apache-2.0
// What stands between the marks of a call, read into calls.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/tools/tool_set.h"

namespace graft::runtime {

inline constexpr size_t kMaxCallNameBytes = 256;
inline constexpr std::string_view kElementsOpen = "<function=";
inline constexpr std::string_view kElementsClose = "</function>";

struct ToolCall {
  std::string id;  ///< empty: the model gave none
  std::string name;
  std::string arguments;  ///< a JSON object
};

inline bool IsCallSpace(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
inline bool IsCallNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

/// Reads a call or a list of them, in any form of CallForm. quote: what stands around texts in
/// kBraces. tools may be null; they tell what a text is in forms that do not.
/// Returns  false if it is none; then *calls is as it was.
bool ReadCalls(std::string_view body, std::string_view quote, const ToolSet* tools,
               std::vector<ToolCall>* calls);

}  // namespace graft::runtime
