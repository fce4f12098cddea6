// SPDX-License-Identifier: Apache-2.0
// Regular expressions as JSON Schema's `pattern` and most languages write them, read into
// expressions.
#pragma once

#include <string_view>

#include "runtime/constrain/characters.h"
#include "runtime/constrain/expressions.h"
#include "schema/result.h"

namespace graft::runtime {

inline constexpr size_t kMaxRegexBytes = size_t{1} << 20;
inline constexpr size_t kMaxRegexDepth = 200;  ///< groups within groups

struct RegexOptions {
  Spelling spelling = Spelling::kText;
  /// The whole text matches, rather than any part of it.
  bool is_anchored = false;
};

/// Reads ECMAScript's syntax: classes, groups, alternatives, counts, anchors at the start and end,
/// lookahead in the outermost alternatives. A dot is any character but a line's end.
/// Errors   kInvalidArgument: not a regular expression, larger or deeper than the limits;
///          kUnsupported: what only backtracking can do, naming it and its place.
Result<Expression> ParseRegex(ExpressionPool* pool, std::string_view pattern,
                              const RegexOptions& options);

}  // namespace graft::runtime
