// SPDX-License-Identifier: Apache-2.0
// The parts of a parsed chat template.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace graft::runtime::chat {

/// Limits on a template as text. What it does when it runs is bounded in interpreter.h.
inline constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
inline constexpr size_t kMaxNodes = size_t{1} << 17;
inline constexpr uint32_t kMaxNodeDepth = 96;
inline constexpr size_t kMaxNameBytes = 256;
inline constexpr size_t kMaxArguments = 256;  ///< of a call, and of a macro

enum class TokenKind : uint8_t {
  kText,         // what stands between tags
  kOutputBegin,  // {{
  kOutputEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t line = 0;
  std::string_view text;  // of strings: without escapes
  int64_t int_value = 0;
  double float_value = 0;
};

enum class NodeKind : uint8_t {
  // Expressions, with what their children are.
  kUndefined,
  kNone,
  kTrue,
  kFalse,
  kInteger,
  kFloat,
  kString,
  kName,
  kList,    // elements
  kTuple,   // elements
  kMap,     // key, value, key, value, ...
  kMember,  // object; text: name
  kItem,    // object, index
  kSlice,   // object, start, stop, step, kUndefined where left out
  kCall,    // what is called, arguments; names: of the arguments, empty for those by place
  kFilter,  // input, arguments; text: name
  kTest,    // input, arguments; text: name
  kNot,
  kNegate,
  kPlus,
  kAnd,
  kOr,
  kIfElse,  // condition, then, else
  kBinary,  // left, right; text: operator
  // Statements.
  kText,
  kOutput,       // expression
  kBlock,        // statements
  kIf,           // condition, then, else
  kFor,          // target, sequence, condition or kUndefined, body, else
  kSet,          // target, value
  kSetBlock,     // target, body; names: filters
  kMacro,        // body, defaults of the last parameters; text: name, names: parameters
  kCallBlock,    // call, body
  kFilterBlock,  // body; names: filters
  kBreak,
  kContinue,
};

struct Node {
  NodeKind kind = NodeKind::kUndefined;
  uint32_t line = 0;
  uint32_t depth = 1;  // of the tree below, itself included
  std::string_view text;
  int64_t int_value = 0;
  double float_value = 0;
  std::vector<uint32_t> children;
  std::vector<std::string_view> names;
};

/// A parsed template. Views point into `source` and `strings`.
struct Syntax {
  std::string source;
  std::deque<std::string> strings;  // strings whose escapes were resolved
  std::vector<Node> nodes;
  uint32_t root = 0;
};

}  // namespace graft::runtime::chat
