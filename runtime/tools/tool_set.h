// SPDX-License-Identifier: Apache-2.0
// ToolSet: the functions that a model may call, as JSON describes them to chat templates.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/json/json_tree.h"
#include "schema/result.h"

namespace graft::runtime {

inline constexpr size_t kMaxTools = 1000;

struct Tool {
  std::string name;
  JsonId parameters = kNoJson;  ///< the JSON Schema of its arguments; kNoJson: it takes none
};

/// What a text, in a form that does not tell, is.
enum class ArgumentKind : uint8_t { kUnknown, kText, kTextOrNull, kOther };

class ToolSet {
 public:
  /// json: a list of {"type": "function", "function": {"name", "parameters"}}, or of what "function"
  /// holds.
  /// Errors   kInvalidArgument: those of JsonTree::Parse; no list of functions, too many, a name
  ///          twice or that is no name.
  static Result<ToolSet> Parse(std::string_view json);

  std::span<const Tool> tools() const { return tools_; }
  const JsonTree& tree() const { return tree_; }
  const Tool* Find(std::string_view name) const;
  /// Drops all others. False: there is none of that name.
  bool Keep(std::string_view name);
  /// The schema of a tool's arguments, which are an object whatever it says.
  /// Errors   kUnsupported: its type is no object; those of JsonTree::Parse.
  Result<JsonTree> ParametersOf(const Tool& tool) const;
  ArgumentKind KindOf(std::string_view tool, std::string_view argument) const;

 private:
  JsonTree tree_;
  std::vector<Tool> tools_;
};

}  // namespace graft::runtime
