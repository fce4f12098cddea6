// SPDX-License-Identifier: Apache-2.0
// The interpreter's expressions: what each kind of node gives.
#include <algorithm>
#include <cstdint>
#include <string>

#include "runtime/chat/arithmetic.h"
#include "runtime/chat/builtins.h"
#include "runtime/chat/interpreter.h"
#include "runtime/chat/value_text.h"

namespace graft::runtime::chat {

Result<bool> Interpreter::AreEqual(Value a, Value b) { return Equal(a, b, &steps_left_); }

Result<int> Interpreter::Compare(Value a, Value b) {
  GRAFT_RETURN_IF_ERROR(Spend(1));
  if (a.IsNumber() && b.IsNumber()) {
    if (a.Is(ValueKind::kFloat) || b.Is(ValueKind::kFloat)) {
      return a.float_value() < b.float_value() ? -1 : a.float_value() > b.float_value() ? 1 : 0;
    }
    return a.int_value() < b.int_value() ? -1 : a.int_value() > b.int_value() ? 1 : 0;
  }
  if (a.IsString() && b.IsString()) {
    GRAFT_RETURN_IF_ERROR(Spend(std::min(a.text().size(), b.text().size()) / kBytesPerStep));
    const int order = a.text().compare(b.text());  // UTF-8 keeps the order of characters
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  return Unfit("a comparison", a, b);
}

Result<Value> Interpreter::TextOf(Value value) {
  if (value.IsString()) return value;
  std::string text;
  GRAFT_RETURN_IF_ERROR(AppendTextOf(value, heap_.bytes_left(), &text));
  return heap_.Text(std::move(text));
}

Status Interpreter::AppendTextOf(Value value, size_t max_bytes, std::string* out) {
  return AppendText(value, {max_bytes, &steps_left_}, out);
}

Status Interpreter::AppendJsonOf(Value value, const JsonStyle& style, std::string* out) {
  return AppendJson(value, style, {heap_.bytes_left(), &steps_left_}, out);
}

Result<Value> Interpreter::EvaluateMap(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(Map * map, heap_.NewMap());
  for (size_t i = 0; i + 1 < expression.children.size(); i += 2) {
    GRAFT_ASSIGN_OR_RETURN(const Value key, Evaluate(expression.children[i], scope));
    GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[i + 1], scope));
    if (!key.IsString()) return Status(StatusCode::kUnsupported, "a key that is no string");
    GRAFT_RETURN_IF_ERROR(Set(map, key.text(), value));
  }
  return Value::Of(map);
}

Result<Value> Interpreter::ListOf(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(List * list, heap_.NewList());
  list->is_tuple = expression.kind == NodeKind::kTuple;
  for (const uint32_t child : expression.children) {
    GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(child, scope));
    GRAFT_RETURN_IF_ERROR(heap_.Append(list, value));
  }
  return Value::Of(list);
}

Result<Value> Interpreter::EvaluateBinary(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(const Value a, Evaluate(expression.children[0], scope));
  GRAFT_ASSIGN_OR_RETURN(const Value b, Evaluate(expression.children[1], scope));
  const std::string_view op = expression.text;
  if (op == "==" || op == "!=") {
    GRAFT_ASSIGN_OR_RETURN(const bool same, AreEqual(a, b));
    return Value::Of(same == (op == "=="));
  }
  if (op == "in") {
    GRAFT_ASSIGN_OR_RETURN(const bool found, Contains(b, a));
    return Value::Of(found);
  }
  if (op[0] == '<' || op[0] == '>') {
    GRAFT_ASSIGN_OR_RETURN(const int order, Compare(a, b));
    const bool holds = op == "<"    ? order < 0
                       : op == ">"  ? order > 0
                       : op == "<=" ? order <= 0
                                    : order >= 0;
    return Value::Of(holds);
  }
  if (op == "~" || (op == "+" && a.IsString() && b.IsString())) {
    GRAFT_ASSIGN_OR_RETURN(const Value left, TextOf(a));
    GRAFT_ASSIGN_OR_RETURN(const Value right, TextOf(b));
    // Before it is made: each alone fits, both may not.
    GRAFT_RETURN_IF_ERROR(Spend((left.text().size() + right.text().size()) / kBytesPerStep));
    std::string joined(left.text());
    joined += right.text();
    return heap_.Text(std::move(joined));
  }
  if (a.IsNumber() && b.IsNumber()) return Arithmetic(op, a, b);
  if (op == "+" && a.IsList() && b.IsList()) {
    GRAFT_ASSIGN_OR_RETURN(List * list, heap_.NewList());
    for (const List* part : {&a.list(), &b.list()}) {
      GRAFT_RETURN_IF_ERROR(Spend(part->items.size() / kComparisonsPerStep));
      for (const Value item : part->items) GRAFT_RETURN_IF_ERROR(heap_.Append(list, item));
    }
    return Value::Of(list);
  }
  if (op == "*" && (a.IsString() || b.IsString()) &&
      (a.Is(ValueKind::kInteger) || b.Is(ValueKind::kInteger))) {
    const std::string_view text = a.IsString() ? a.text() : b.text();
    const int64_t times = std::max<int64_t>(0, a.IsString() ? b.int_value() : a.int_value());
    if (!text.empty() && static_cast<uint64_t>(times) > heap_.bytes_left() / text.size()) {
      return Status(StatusCode::kOutOfRange, "it takes more memory than it may");
    }
    if (text.empty()) return Value::Of(text);
    const auto count = static_cast<size_t>(times);
    GRAFT_RETURN_IF_ERROR(Spend(count / kCharactersPerStep + text.size() * count / kBytesPerStep));
    std::string repeated;
    repeated.reserve(text.size() * count);
    for (size_t i = 0; i < count; ++i) repeated += text;
    return heap_.Text(std::move(repeated));
  }
  return Unfit(op, a, b);
}

Result<Value> Interpreter::Evaluate(uint32_t index, Scope* scope) {
  GRAFT_RETURN_IF_ERROR(EnterNode());
  Result<Value> value = EvaluateNode(node(index), scope);
  --depth_;
  return value;
}

Result<Value> Interpreter::EvaluateName(const Node& expression, Scope* scope) {
  size_t compared = 0;
  const Value* value = scope->Find(expression.text, &compared);
  if (compared >= kComparisonsPerStep) GRAFT_RETURN_IF_ERROR(Spend(compared / kComparisonsPerStep));
  if (value != nullptr) return *value;
  if (!HasGlobal(expression.text)) return Value::Undefined(expression.text);
  GRAFT_ASSIGN_OR_RETURN(Function * function, heap_.NewFunction());
  function->name = expression.text;
  return Value::Of(function);
}

Result<Value> Interpreter::EvaluateUnary(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
  if (expression.kind == NodeKind::kNot) return Value::Of(!value.IsTrue());
  const bool is_negated = expression.kind == NodeKind::kNegate;
  if (!value.IsNumber()) return Unfit("a sign", value, value);
  if (value.Is(ValueKind::kFloat))
    return Value::Of(is_negated ? -value.float_value() : value.float_value());
  return Arithmetic(is_negated ? "-" : "+", Value::Of(int64_t{0}), Value::Of(value.int_value()));
}

// `a and b`, `a or b`, `a if c else b`: only the operand that is needed is evaluated.
Result<Value> Interpreter::EvaluateChoice(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(const Value first, Evaluate(expression.children[0], scope));
  if (expression.kind == NodeKind::kIfElse)
    return Evaluate(expression.children[first.IsTrue() ? 1 : 2], scope);
  if (first.IsTrue() == (expression.kind == NodeKind::kOr)) return first;
  return Evaluate(expression.children[1], scope);
}

Result<Value> Interpreter::EvaluateFilterOrTest(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
  GRAFT_ASSIGN_OR_RETURN(const Arguments arguments, ReadArguments(expression, scope));
  if (expression.kind == NodeKind::kFilter)
    return ApplyFilter(*this, expression.text, value, arguments);
  GRAFT_ASSIGN_OR_RETURN(const bool holds, ApplyTest(*this, expression.text, value, arguments));
  return Value::Of(holds);
}

Result<Value> Interpreter::EvaluateNode(const Node& expression, Scope* scope) {
  switch (expression.kind) {
    case NodeKind::kUndefined:
      return Value();
    case NodeKind::kNone:
      return Value::None();
    case NodeKind::kTrue:
      return Value::Of(true);
    case NodeKind::kFalse:
      return Value::Of(false);
    case NodeKind::kInteger:
      return Value::Of(expression.int_value);
    case NodeKind::kFloat:
      return Value::Of(expression.float_value);
    case NodeKind::kString:
      return Value::Of(expression.text);
    case NodeKind::kName:
      return EvaluateName(expression, scope);
    case NodeKind::kList:
    case NodeKind::kTuple:
      return ListOf(expression, scope);
    case NodeKind::kMap:
      return EvaluateMap(expression, scope);
    case NodeKind::kMember: {
      GRAFT_ASSIGN_OR_RETURN(const Value object, Evaluate(expression.children[0], scope));
      return MemberOf(object, expression.text, false);
    }
    case NodeKind::kItem: {
      GRAFT_ASSIGN_OR_RETURN(const Value object, Evaluate(expression.children[0], scope));
      GRAFT_ASSIGN_OR_RETURN(const Value item, Evaluate(expression.children[1], scope));
      return ItemOf(object, item);
    }
    case NodeKind::kSlice:
      return EvaluateSlice(expression, scope);
    case NodeKind::kCall:
      return EvaluateCall(expression, scope, nullptr);
    case NodeKind::kFilter:
    case NodeKind::kTest:
      return EvaluateFilterOrTest(expression, scope);
    case NodeKind::kNot:
    case NodeKind::kNegate:
    case NodeKind::kPlus:
      return EvaluateUnary(expression, scope);
    case NodeKind::kAnd:
    case NodeKind::kOr:
    case NodeKind::kIfElse:
      return EvaluateChoice(expression, scope);
    case NodeKind::kBinary:
      return EvaluateBinary(expression, scope);
    default:
      return Status(StatusCode::kInternal, "a statement where an expression should be");
  }
}

}  // namespace graft::runtime::chat
