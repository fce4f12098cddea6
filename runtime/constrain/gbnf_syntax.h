// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a GBNF grammar.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/expressions.h"
#include "schema/result.h"

namespace graft::runtime {

/// An index into GbnfSyntax::nodes.
using GbnfNodeId = uint32_t;

struct GbnfNode {
  enum class Kind : uint8_t { kExpression, kRule, kSequence, kChoice, kRepeat };
  Kind kind = Kind::kSequence;
  uint32_t value = 0;  ///< the expression, or the rule
  uint32_t min = 0;
  uint32_t max = 0;
  std::vector<GbnfNodeId> parts;
};

struct GbnfRule {
  std::string name;
  GbnfNodeId body = 0;
  bool is_defined = false;
  bool is_recursive = false;  ///< leads back to itself
};

struct GbnfSyntax {
  std::vector<GbnfNode> nodes;
  std::vector<GbnfRule> rules;
  std::map<std::string, uint32_t, std::less<>> names;
};

/// Requires UTF-8. Strings and classes become expressions of `pool`.
/// Errors   kInvalidArgument: not a grammar, or a rule that is missing; names the line.
Result<GbnfSyntax> ParseGbnf(std::string_view text, ExpressionPool* pool);

}  // namespace graft::runtime
