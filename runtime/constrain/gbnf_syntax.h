// SPDX-License-Identifier: Apache-2.0
// The syntax tree of a GBNF grammar.
#pragma once

#include <cstdint>
#include <string_view>

#include "runtime/base/text_numbers.h"
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
  uint32_t begin = 0;  ///< of its parts in GbnfSyntax::parts
  uint32_t count = 0;
};

struct GbnfRule {
  std::string_view name;
  GbnfNodeId body = 0;
  bool is_defined = false;
  bool is_recursive = false;  ///< leads back to itself
};

struct GbnfSyntax {
  FlatVector<GbnfNode> nodes;
  FlatVector<GbnfNodeId> parts;
  FlatVector<GbnfRule> rules;
  TextNumbers names;

  std::span<const GbnfNodeId> PartsOf(const GbnfNode& node) const {
    return {parts.data() + node.begin, node.count};
  }
};

/// Requires UTF-8, which must outlive the result. Strings and classes become expressions of `pool`.
/// Errors   kInvalidArgument: not a grammar, or a rule that is missing; names the line.
Result<GbnfSyntax> ParseGbnf(std::string_view text, ExpressionPool* pool);

}  // namespace graft::runtime
