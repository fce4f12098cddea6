// SPDX-License-Identifier: Apache-2.0
// The interpreter's expressions: operators, members and slices as Python has them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/chat/builtins.h"
#include "runtime/chat/interpreter.h"
#include "runtime/text/utf8.h"

namespace graft::runtime::chat {
namespace {

Status Unfit(std::string_view op, Value a, Value b) {
  const auto name = [](Value value) {
    return std::string(value.Is(ValueKind::kUndefined) ? value.text().substr(0, 60)
                                                       : value.type_name());
  };
  if (a.Is(ValueKind::kUndefined) || b.Is(ValueKind::kUndefined)) {
    return Error(StatusCode::kCorrupt, "'%s' is undefined",
                 name(a.Is(ValueKind::kUndefined) ? a : b).c_str());
  }
  return Error(StatusCode::kCorrupt, "%s and %s do not go together in %.*s", name(a).c_str(),
               name(b).c_str(), static_cast<int>(op.size()), op.data());
}

Result<Value> WholeArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  if (op == "+") {
    overflows = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflows = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflows = __builtin_mul_overflow(a, b, &result);
  } else if (op == "//" || op == "%") {
    if (b == 0) return Status(StatusCode::kCorrupt, "division by zero");
    overflows = a == std::numeric_limits<int64_t>::min() && b == -1;
    if (!overflows) {
      // Python rounds down, C++ towards zero.
      const bool is_lower = a % b != 0 && (a < 0) != (b < 0);
      result = op == "//" ? a / b - (is_lower ? 1 : 0) : a % b + (is_lower ? b : 0);
    }
  } else {  // **, of a small exponent
    if (b < 0) return Value::Of(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    for (int64_t i = 0; i < b && !overflows; ++i) {
      overflows = i > 64 || __builtin_mul_overflow(result, a, &result);
    }
  }
  if (overflows) return Status(StatusCode::kOutOfRange, "a number beyond 64 bits");
  return Value::Of(result);
}

Result<Value> RealArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value::Of(a + b);
  if (op == "-") return Value::Of(a - b);
  if (op == "*") return Value::Of(a * b);
  if (op == "**") return Value::Of(std::pow(a, b));
  if (b == 0) return Status(StatusCode::kCorrupt, "division by zero");
  if (op == "/") return Value::Of(a / b);
  const double floor = std::floor(a / b);
  return Value::Of(op == "//" ? floor : a - floor * b);
}

/// The elements that Python's [start:stop:step] picks of `count`.
struct Picked {
  int64_t first = 0;
  int64_t step = 1;
  int64_t count = 0;
};

Result<Picked> ReadSlice(const Value (&parts)[3], int64_t count) {
  for (const Value part : parts) {
    const bool is_absent = part.Is(ValueKind::kUndefined) || part.Is(ValueKind::kNone);
    if (!is_absent && !part.Is(ValueKind::kInteger)) {
      return Error(StatusCode::kCorrupt, "a slice by %s", part.type_name());
    }
  }
  const auto given = [](Value part) { return part.Is(ValueKind::kInteger); };
  const int64_t step = given(parts[2]) ? parts[2].whole() : 1;
  if (step == 0 || step == std::numeric_limits<int64_t>::min()) {
    return Status(StatusCode::kCorrupt, "a slice of step 0");
  }
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? count : count - 1;
  const auto place = [&](Value part, int64_t fallback) {
    if (!given(part)) return fallback;
    const int64_t at = part.whole() < 0 ? part.whole() + count : part.whole();
    return std::clamp(at, low, high);
  };
  const int64_t start = place(parts[0], step > 0 ? low : high);
  const int64_t stop = place(parts[1], step > 0 ? high : low);
  Picked picked;
  picked.first = start;
  picked.step = step;
  const int64_t distance = step > 0 ? stop - start : start - stop;
  const int64_t stride = step > 0 ? step : -step;
  picked.count = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  return picked;
}

/// Where each character of a text starts, and the text's end.
std::vector<size_t> CharacterStarts(std::string_view text) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); at += Utf8Length(text[at])) starts.push_back(at);
  starts.push_back(text.size());
  return starts;
}

}  // namespace

Result<bool> Interpreter::AreEqual(Value a, Value b) {
  if (a.IsString() && b.IsString()) {
    GRAFT_RETURN_IF_ERROR(Spend(std::min(a.text().size(), b.text().size()) / 64));
  }
  return Equal(a, b, &steps_left_);
}

Result<int> Interpreter::Compare(Value a, Value b) {
  GRAFT_RETURN_IF_ERROR(Spend(1));
  if (a.IsNumber() && b.IsNumber()) {
    if (a.Is(ValueKind::kReal) || b.Is(ValueKind::kReal)) {
      return a.real() < b.real() ? -1 : a.real() > b.real() ? 1 : 0;
    }
    return a.whole() < b.whole() ? -1 : a.whole() > b.whole() ? 1 : 0;
  }
  if (a.IsString() && b.IsString()) {
    GRAFT_RETURN_IF_ERROR(Spend(std::min(a.text().size(), b.text().size()) / 64));
    const int order = a.text().compare(b.text());  // UTF-8 keeps the order of characters
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  return Unfit("a comparison", a, b);
}

Result<Value> Interpreter::TextOf(Value value) {
  if (value.IsString()) return value;
  std::string text;
  GRAFT_RETURN_IF_ERROR(AppendText(value, heap_.bytes_left(), &text));
  return heap_.Text(std::move(text));
}

Result<const List*> Interpreter::Elements(Value value) {
  if (value.IsList()) {
    GRAFT_RETURN_IF_ERROR(Spend(value.list().items.size() / 16));
    return &value.list();
  }
  GRAFT_ASSIGN_OR_RETURN(List * list, heap_.NewList());
  if (value.Is(ValueKind::kUndefined)) return list;
  if (value.Is(ValueKind::kMap)) {
    for (const auto& [name, member] : value.map().members) {
      GRAFT_RETURN_IF_ERROR(heap_.Append(list, Value::Of(name)));
    }
    return list;
  }
  if (value.IsString()) {
    const std::string_view text = value.text();
    for (size_t at = 0; at < text.size(); at += Utf8Length(text[at])) {
      GRAFT_RETURN_IF_ERROR(heap_.Append(list, Value::Of(text.substr(at, Utf8Length(text[at])))));
    }
    return list;
  }
  return Error(StatusCode::kCorrupt, "%s has no elements", value.type_name());
}

Result<bool> Interpreter::Contains(Value container, Value element) {
  if (container.IsString()) {
    if (!element.IsString()) return Unfit("in", element, container);
    GRAFT_RETURN_IF_ERROR(Spend(container.text().size() / 64));
    return container.text().find(element.text()) != std::string_view::npos;
  }
  if (container.Is(ValueKind::kMap)) {
    GRAFT_RETURN_IF_ERROR(Spend(container.map().members.size() / 16));
    return element.IsString() && container.map().Find(element.text()) != nullptr;
  }
  if (container.Is(ValueKind::kUndefined)) return false;
  if (!container.IsList()) return Unfit("in", element, container);
  for (const Value item : container.list().items) {
    GRAFT_ASSIGN_OR_RETURN(const bool same, AreEqual(item, element));
    if (same) return true;
  }
  return false;
}

Result<Value> Interpreter::MemberOf(Value object, std::string_view name, bool item_first) {
  if (object.Is(ValueKind::kUndefined)) return Unfit("a member", object, object);
  const Value* item = nullptr;
  if (object.IsMap()) {
    GRAFT_RETURN_IF_ERROR(Spend(object.map().members.size() / 16));
    item = object.map().Find(name);
    if (item != nullptr && (item_first || object.Is(ValueKind::kNamespace))) return *item;
  }
  if (HasMethod(object, name)) {
    GRAFT_ASSIGN_OR_RETURN(Function * method, heap_.NewFunction());
    method->kind = Function::Kind::kMethod;
    method->name = name;
    method->self = object;
    return Value::Of(method);
  }
  return item != nullptr ? *item : Value::Undefined(name);
}

Result<Value> Interpreter::ItemOf(Value object, Value index) {
  if (index.IsString()) return MemberOf(object, index.text(), true);
  if (object.Is(ValueKind::kUndefined)) return Unfit("an index", object, object);
  if (!index.Is(ValueKind::kInteger)) return Value::Undefined("an element");
  const bool is_text = object.IsString();
  if (!is_text && !object.IsList()) return Value::Undefined("an element");
  std::vector<size_t> starts;
  int64_t count = 0;
  if (is_text) {
    GRAFT_RETURN_IF_ERROR(Spend(object.text().size() / 16));
    GRAFT_RETURN_IF_ERROR(heap_.Charge(object.text().size() * sizeof(size_t)));
    starts = CharacterStarts(object.text());
    count = static_cast<int64_t>(starts.size()) - 1;
  } else {
    count = static_cast<int64_t>(object.list().items.size());
  }
  const int64_t at = index.whole() < 0 ? index.whole() + count : index.whole();
  if (at < 0 || at >= count) return Value::Undefined("an element");
  if (!is_text) return object.list().items[static_cast<size_t>(at)];
  const size_t begin = starts[static_cast<size_t>(at)];
  return Value::Of(object.text().substr(begin, starts[static_cast<size_t>(at) + 1] - begin));
}

Result<Value> Interpreter::EvaluateSlice(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(const Value object, Evaluate(expression.children[0], scope));
  Value parts[3];
  for (size_t i = 0; i < 3; ++i) {
    GRAFT_ASSIGN_OR_RETURN(parts[i], Evaluate(expression.children[i + 1], scope));
  }
  if (object.IsString()) {
    const std::string_view text = object.text();
    GRAFT_RETURN_IF_ERROR(Spend(text.size() / 16));
    GRAFT_RETURN_IF_ERROR(heap_.Charge(text.size() * sizeof(size_t)));
    const std::vector<size_t> starts = CharacterStarts(text);
    GRAFT_ASSIGN_OR_RETURN(const Picked picked,
                           ReadSlice(parts, static_cast<int64_t>(starts.size()) - 1));
    if (picked.count == 0) return Value::Of(std::string_view());
    if (picked.step == 1) {
      const size_t begin = starts[static_cast<size_t>(picked.first)];
      const size_t end = starts[static_cast<size_t>(picked.first + picked.count)];
      return Value::Of(text.substr(begin, end - begin));
    }
    std::string result;
    for (int64_t i = 0; i < picked.count; ++i) {
      const auto at = static_cast<size_t>(picked.first + i * picked.step);
      result.append(text.substr(starts[at], starts[at + 1] - starts[at]));
    }
    return heap_.Text(std::move(result));
  }
  if (!object.IsList()) return Unfit("a slice", object, object);
  const std::vector<Value>& items = object.list().items;
  GRAFT_ASSIGN_OR_RETURN(const Picked picked, ReadSlice(parts, static_cast<int64_t>(items.size())));
  GRAFT_ASSIGN_OR_RETURN(List * list, heap_.NewList());
  list->is_tuple = object.list().is_tuple;
  for (int64_t i = 0; i < picked.count; ++i) {
    const auto at = static_cast<size_t>(picked.first + i * picked.step);
    GRAFT_RETURN_IF_ERROR(heap_.Append(list, items[at]));
  }
  return Value::Of(list);
}

Result<Value> Interpreter::EvaluateMap(const Node& expression, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(Map * map, heap_.NewMap());
  for (size_t i = 0; i + 1 < expression.children.size(); i += 2) {
    GRAFT_ASSIGN_OR_RETURN(const Value key, Evaluate(expression.children[i], scope));
    GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[i + 1], scope));
    if (!key.IsString()) return Status(StatusCode::kUnsupported, "a key that is no string");
    GRAFT_RETURN_IF_ERROR(heap_.Set(map, key.text(), value));
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
    GRAFT_RETURN_IF_ERROR(Spend((left.text().size() + right.text().size()) / 64));
    std::string joined(left.text());
    joined += right.text();
    return heap_.Text(std::move(joined));
  }
  if (a.IsNumber() && b.IsNumber()) {
    if (a.Is(ValueKind::kReal) || b.Is(ValueKind::kReal) || op == "/") {
      return RealArithmetic(op, a.real(), b.real());
    }
    return WholeArithmetic(op, a.whole(), b.whole());
  }
  if (op == "+" && a.IsList() && b.IsList()) {
    GRAFT_ASSIGN_OR_RETURN(List * list, heap_.NewList());
    for (const List* part : {&a.list(), &b.list()}) {
      for (const Value item : part->items) GRAFT_RETURN_IF_ERROR(heap_.Append(list, item));
    }
    return Value::Of(list);
  }
  if (op == "*" && (a.IsString() || b.IsString()) &&
      (a.Is(ValueKind::kInteger) || b.Is(ValueKind::kInteger))) {
    const std::string_view text = a.IsString() ? a.text() : b.text();
    const int64_t times = std::max<int64_t>(0, a.IsString() ? b.whole() : a.whole());
    if (!text.empty() && static_cast<uint64_t>(times) > heap_.bytes_left() / text.size()) {
      return Status(StatusCode::kOutOfRange, "it takes more memory than it may");
    }
    std::string repeated;
    repeated.reserve(text.size() * static_cast<size_t>(times));
    for (int64_t i = 0; i < times && !text.empty(); ++i) repeated += text;
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
      return Value::Of(expression.whole);
    case NodeKind::kReal:
      return Value::Of(expression.real);
    case NodeKind::kString:
      return Value::Of(expression.text);
    case NodeKind::kName: {
      if (const Value* value = scope->Find(expression.text); value != nullptr) return *value;
      if (!HasGlobal(expression.text)) return Value::Undefined(expression.text);
      GRAFT_ASSIGN_OR_RETURN(Function * function, heap_.NewFunction());
      function->name = expression.text;
      return Value::Of(function);
    }
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
    case NodeKind::kFilter: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
      GRAFT_ASSIGN_OR_RETURN(const Arguments arguments, ReadArguments(expression, scope));
      return ApplyFilter(*this, expression.text, value, arguments);
    }
    case NodeKind::kTest: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
      GRAFT_ASSIGN_OR_RETURN(const Arguments arguments, ReadArguments(expression, scope));
      GRAFT_ASSIGN_OR_RETURN(const bool holds, ApplyTest(*this, expression.text, value, arguments));
      return Value::Of(holds);
    }
    case NodeKind::kNot: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
      return Value::Of(!value.IsTrue());
    }
    case NodeKind::kNegate:
    case NodeKind::kPlus: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(expression.children[0], scope));
      if (!value.IsNumber()) return Unfit("a sign", value, value);
      if (value.Is(ValueKind::kReal)) {
        return Value::Of(expression.kind == NodeKind::kNegate ? -value.real() : value.real());
      }
      return WholeArithmetic(expression.kind == NodeKind::kNegate ? "-" : "+", 0, value.whole());
    }
    case NodeKind::kAnd:
    case NodeKind::kOr: {
      GRAFT_ASSIGN_OR_RETURN(const Value left, Evaluate(expression.children[0], scope));
      if (left.IsTrue() == (expression.kind == NodeKind::kOr)) return left;
      return Evaluate(expression.children[1], scope);
    }
    case NodeKind::kIfElse: {
      GRAFT_ASSIGN_OR_RETURN(const Value condition, Evaluate(expression.children[0], scope));
      return Evaluate(expression.children[condition.IsTrue() ? 1 : 2], scope);
    }
    case NodeKind::kBinary:
      return EvaluateBinary(expression, scope);
    default:
      return Status(StatusCode::kInternal, "a statement where an expression should be");
  }
}

}  // namespace graft::runtime::chat
