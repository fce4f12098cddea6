// SPDX-License-Identifier: Apache-2.0
// The interpreter's way into values: elements, members, indices and slices as Python has them.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "runtime/base/utf8.h"
#include "runtime/chat/arithmetic.h"
#include "runtime/chat/builtins.h"
#include "runtime/chat/interpreter.h"

namespace graft::runtime::chat {
namespace {

// Up to here a comparison costs about the same, however far it gets.
constexpr size_t kShortBytes = 32;

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
  const int64_t step = given(parts[2]) ? parts[2].int_value() : 1;
  if (step == 0 || step == std::numeric_limits<int64_t>::min()) {
    return Status(StatusCode::kCorrupt, "a slice of step 0");
  }
  const int64_t low = step > 0 ? 0 : -1;
  const int64_t high = step > 0 ? count : count - 1;
  const auto place = [&](Value part, int64_t fallback) {
    if (!given(part)) return fallback;
    const int64_t at = part.int_value() < 0 ? part.int_value() + count : part.int_value();
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

// A text that keeps looking like the wanted one is paid for each time.
Result<bool> Interpreter::StartsAt(std::string_view text, std::string_view wanted, size_t at) {
  const std::string_view start = wanted.substr(0, kShortBytes);
  if (text.compare(at, start.size(), start) != 0) return false;
  if (wanted.size() <= kShortBytes) return true;
  GRAFT_RETURN_IF_ERROR(Spend(1 + wanted.size() / kBytesPerStep));
  return text.compare(at, wanted.size(), wanted) == 0;
}

Result<size_t> Interpreter::Find(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size() || wanted.size() > text.size() - from) return std::string_view::npos;
  if (wanted.empty()) return from;
  const size_t last = text.size() - wanted.size();
  const std::string_view starts = text.substr(0, last + 1);
  size_t candidates = 0;
  size_t at = starts.find(wanted[0], from);
  for (; at != std::string_view::npos; at = starts.find(wanted[0], at + 1)) {
    ++candidates;
    GRAFT_ASSIGN_OR_RETURN(const bool found, StartsAt(text, wanted, at));
    if (found) break;
  }
  const size_t searched = std::min(at, text.size()) - from;
  GRAFT_RETURN_IF_ERROR(Spend(searched / kBytesPerStep + candidates / kComparisonsPerStep));
  return at;
}

Result<size_t> Interpreter::FindLast(std::string_view text, std::string_view wanted) {
  if (wanted.size() > text.size()) return std::string_view::npos;
  if (wanted.empty()) return text.size();
  for (size_t after = text.size() - wanted.size() + 1; after > 0; --after) {
    if (after % kCharactersPerStep == 0) GRAFT_RETURN_IF_ERROR(Spend(1));
    if (text[after - 1] != wanted[0]) continue;
    GRAFT_ASSIGN_OR_RETURN(const bool found, StartsAt(text, wanted, after - 1));
    if (found) return after - 1;
  }
  return std::string_view::npos;
}

Result<const Value*> Interpreter::Find(const Map& map, std::string_view name) {
  GRAFT_RETURN_IF_ERROR(Spend(map.StepsToFind(name)));
  return map.Find(name);
}

Status Interpreter::Set(Map* map, std::string_view name, Value value) {
  const size_t steps = map->StepsToFind(name);
  if (steps > 0) GRAFT_RETURN_IF_ERROR(Spend(steps));
  return heap_.Set(map, name, value);
}

Result<const List*> Interpreter::Elements(Value value) {
  if (value.IsList()) {
    GRAFT_RETURN_IF_ERROR(Spend(value.list().items.size() / kComparisonsPerStep));
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
    GRAFT_ASSIGN_OR_RETURN(const size_t at, Find(container.text(), element.text(), 0));
    return at != std::string_view::npos;
  }
  if (container.Is(ValueKind::kMap)) {
    if (!element.IsString()) return false;
    GRAFT_ASSIGN_OR_RETURN(const Value* member, Find(container.map(), element.text()));
    return member != nullptr;
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
    const size_t steps = object.map().StepsToFind(name);
    if (steps > 0) GRAFT_RETURN_IF_ERROR(Spend(steps));
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
    GRAFT_RETURN_IF_ERROR(Spend(object.text().size() / kCharactersPerStep));
    GRAFT_RETURN_IF_ERROR(heap_.Charge(object.text().size() * sizeof(size_t)));
    starts = CharacterStarts(object.text());
    count = static_cast<int64_t>(starts.size()) - 1;
  } else {
    count = static_cast<int64_t>(object.list().items.size());
  }
  const int64_t at = index.int_value() < 0 ? index.int_value() + count : index.int_value();
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
    GRAFT_RETURN_IF_ERROR(Spend(text.size() / kCharactersPerStep));
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

}  // namespace graft::runtime::chat
