// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/constraint.h"

#include "runtime/base/utf8.h"
#include "runtime/constrain/regex.h"

namespace graft::runtime {
namespace {

Result<Grammar> OfExpression(Grammar grammar, Expression expression) {
  const RuleId start = grammar.NewRule();
  grammar.AddWay(start, Grammar::Is(expression));
  GRAFT_RETURN_IF_ERROR(grammar.Finish(start));
  return grammar;
}

}  // namespace

Result<Grammar> CompileRegex(std::string_view regex) {
  Grammar grammar;
  const RegexOptions options = {Spelling::kText, /*is_anchored=*/true};
  GRAFT_ASSIGN_OR_RETURN(const Expression whole, ParseRegex(&grammar.pool(), regex, options));
  return OfExpression(std::move(grammar), whole);
}

Result<Grammar> CompileChoices(std::span<const std::string_view> choices) {
  TextNumbers texts;
  size_t index = 0;
  for (const std::string_view choice : choices) {
    if (choice.empty() || !IsValidUtf8(choice)) {
      return Error(StatusCode::kInvalidArgument, "choice %zu is %s", index,
                   choice.empty() ? "empty" : "not UTF-8");
    }
    texts.Insert(choice);
    ++index;
  }
  if (choices.empty()) return Status(StatusCode::kInvalidArgument, "there are no choices");
  Grammar grammar;
  const Expression any = grammar.pool().AnyOf(texts);
  return OfExpression(std::move(grammar), any);
}

}  // namespace graft::runtime
