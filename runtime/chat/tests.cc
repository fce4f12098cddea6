// SPDX-License-Identifier: Apache-2.0
// Jinja's tests: value is NAME.
#include <algorithm>

#include "runtime/chat/builtins.h"
#include "runtime/chat/text_rules.h"

namespace graft::runtime::chat {
namespace {

/// Tests that look at the kind of the value only; *known tells whether `name` is one.
bool IsOfKind(std::string_view name, Value value, bool* known) {
  *known = true;
  if (name == "defined") return !value.Is(ValueKind::kUndefined);
  if (name == "undefined") return value.Is(ValueKind::kUndefined);
  if (name == "none") return value.Is(ValueKind::kNone);
  if (name == "string") return value.IsString();
  if (name == "number") return value.IsNumber();
  if (name == "integer") return value.Is(ValueKind::kInteger);
  if (name == "float") return value.Is(ValueKind::kFloat);
  if (name == "boolean") return value.IsBool();
  if (name == "true") return value.IsBool() && value.truth();
  if (name == "false") return value.IsBool() && !value.truth();
  if (name == "mapping") return value.Is(ValueKind::kMap);
  if (name == "callable") return value.Is(ValueKind::kFunction);
  if (name == "sequence" || name == "iterable") {
    return value.IsString() || value.IsList() || value.Is(ValueKind::kMap) ||
           value.Is(ValueKind::kUndefined);
  }
  *known = false;
  return false;
}

/// The operator that a test by comparison stands for; empty if it is none.
std::string_view OperatorOf(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"==", "=="}, {"eq", "=="},    {"equalto", "=="}, {"!=", "!="},         {"ne", "!="},
      {"<", "<"},   {"lt", "<"},     {"lessthan", "<"}, {"<=", "<="},         {"le", "<="},
      {">", ">"},   {"gt", ">"},     {">=", ">="},      {"greaterthan", ">"}, {"ge", ">="},
      {"in", "in"}, {"sameas", "=="}};
  for (const auto& [test, op] : kNames) {
    if (test == name) return op;
  }
  return {};
}

Result<bool> ApplyOperator(Interpreter& run, std::string_view op, Value a, Value b) {
  if (op == "in") return run.Contains(b, a);
  if (op == "==" || op == "!=") {
    GRAFT_ASSIGN_OR_RETURN(const bool same, run.AreEqual(a, b));
    return same == (op == "==");
  }
  GRAFT_ASSIGN_OR_RETURN(const int order, run.Compare(a, b));
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  return op == ">" ? order > 0 : order >= 0;
}

}  // namespace

Result<bool> ApplyTest(Interpreter& run, std::string_view name, Value value,
                       const Arguments& arguments) {
  bool known = false;
  const bool holds = IsOfKind(name, value, &known);
  if (known) return holds;
  if (name == "odd" || name == "even" || name == "divisibleby") {
    int64_t divisor = 2;
    if (name == "divisibleby") {
      GRAFT_ASSIGN_OR_RETURN(divisor, IntArgument(arguments, 0, "num", 0));
    }
    if (!value.Is(ValueKind::kInteger) || divisor == 0) {
      return Status(StatusCode::kCorrupt, "a test of divisibility needs whole numbers");
    }
    const bool divides = divisor == -1 || value.int_value() % divisor == 0;
    return divides != (name == "odd");
  }
  if (name == "lower" || name == "upper") {
    if (!value.IsString()) return false;
    GRAFT_RETURN_IF_ERROR(run.Spend(value.text().size() / kCharactersPerStep));
    const std::string lower = ChangeCase(value.text(), LetterCase::kLower);
    const std::string upper = ChangeCase(value.text(), LetterCase::kUpper);
    return lower != upper && value.text() == (name == "lower" ? lower : upper);
  }
  const std::string_view op = OperatorOf(name);
  if (op.empty()) {
    return Error(StatusCode::kUnsupported, "the test \"%.*s\" is not known",
                 static_cast<int>(std::min<size_t>(name.size(), 60)), name.data());
  }
  if (arguments.size() == 0) {
    return Error(StatusCode::kCorrupt, "the test \"%.*s\" needs an argument",
                 static_cast<int>(name.size()), name.data());
  }
  return ApplyOperator(run, op, value, arguments.at(0));
}

}  // namespace graft::runtime::chat
