// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/value.h"

#include <utility>

namespace graft::runtime::chat {
namespace {

constexpr size_t kMaxMembers = 1024;

// What one object costs in the heap beside its contents, about.
constexpr size_t kObjectBytes = 64;
constexpr size_t kMemberBytes = sizeof(std::pair<std::string_view, Value>);

Status Pay(size_t steps, size_t* steps_left) {
  if (steps > *steps_left) {
    *steps_left = 0;
    return Status(StatusCode::kOutOfRange, "a comparison takes too many steps");
  }
  *steps_left -= steps;
  return OkStatus();
}

Result<bool> EqualAt(Value a, Value b, int depth, size_t* steps_left) {
  if (depth > kMaxValueDepth) {
    return Error(StatusCode::kOutOfRange, "a comparison is nested deeper than %d", kMaxValueDepth);
  }
  GRAFT_RETURN_IF_ERROR(Pay(1, steps_left));
  if (a.IsNumber() && b.IsNumber()) {
    if (a.Is(ValueKind::kFloat) || b.Is(ValueKind::kFloat))
      return a.float_value() == b.float_value();
    return a.int_value() == b.int_value();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case ValueKind::kString:
      if (a.text().size() != b.text().size()) return false;
      GRAFT_RETURN_IF_ERROR(Pay(a.text().size() / kBytesPerStep, steps_left));
      return a.text() == b.text();
    case ValueKind::kList:
      if (a.list().items.size() != b.list().items.size()) return false;
      for (size_t i = 0; i < a.list().items.size(); ++i) {
        GRAFT_ASSIGN_OR_RETURN(
            const bool same, EqualAt(a.list().items[i], b.list().items[i], depth + 1, steps_left));
        if (!same) return false;
      }
      return true;
    case ValueKind::kMap:
      if (a.map().members.size() != b.map().members.size()) return false;
      for (const auto& [name, value] : a.map().members) {
        GRAFT_RETURN_IF_ERROR(Pay(b.map().StepsToFind(name), steps_left));
        const Value* other = b.map().Find(name);
        if (other == nullptr) return false;
        GRAFT_ASSIGN_OR_RETURN(const bool same, EqualAt(value, *other, depth + 1, steps_left));
        if (!same) return false;
      }
      return true;
    case ValueKind::kNamespace:
      return &a.map() == &b.map();
    case ValueKind::kFunction:
      return &a.function() == &b.function();
    default:
      return true;  // both undefined, or both None
  }
}

}  // namespace

Value Value::Undefined(std::string_view name) {
  Value value;
  value.text_ = name.data();
  value.size_ = name.size();
  return value;
}

Value Value::None() {
  Value value;
  value.kind_ = ValueKind::kNone;
  return value;
}

Value Value::Of(bool truth) {
  Value value;
  value.kind_ = ValueKind::kBool;
  value.int_value_ = truth ? 1 : 0;
  return value;
}

Value Value::Of(int64_t int_value) {
  Value value;
  value.kind_ = ValueKind::kInteger;
  value.int_value_ = int_value;
  return value;
}

Value Value::Of(double float_value) {
  Value value;
  value.kind_ = ValueKind::kFloat;
  value.float_value_ = float_value;
  return value;
}

Value Value::Of(std::string_view text) {
  Value value;
  value.kind_ = ValueKind::kString;
  value.text_ = text.data();
  value.size_ = text.size();
  return value;
}

Value Value::Of(const List* list) {
  Value value;
  value.kind_ = ValueKind::kList;
  value.list_ = list;
  return value;
}

Value Value::Of(Map* map, bool is_namespace) {
  Value value;
  value.kind_ = is_namespace ? ValueKind::kNamespace : ValueKind::kMap;
  value.map_ = map;
  return value;
}

Value Value::Of(const Function* function) {
  Value value;
  value.kind_ = ValueKind::kFunction;
  value.function_ = function;
  return value;
}

bool Value::IsTrue() const {
  switch (kind_) {
    case ValueKind::kUndefined:
    case ValueKind::kNone:
      return false;
    case ValueKind::kBool:
    case ValueKind::kInteger:
      return int_value_ != 0;
    case ValueKind::kFloat:
      return float_value_ != 0;
    case ValueKind::kString:
      return size_ != 0;
    case ValueKind::kList:
      return !list_->items.empty();
    case ValueKind::kMap:
      return !map_->members.empty();
    case ValueKind::kNamespace:
    case ValueKind::kFunction:
      return true;
  }
  return false;
}

const char* Value::type_name() const {
  switch (kind_) {
    case ValueKind::kUndefined:
      return "undefined";
    case ValueKind::kNone:
      return "None";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kInteger:
      return "int";
    case ValueKind::kFloat:
      return "float";
    case ValueKind::kString:
      return "str";
    case ValueKind::kList:
      return list_->is_tuple ? "tuple" : "list";
    case ValueKind::kMap:
      return "dict";
    case ValueKind::kNamespace:
      return "namespace";
    case ValueKind::kFunction:
      return "function";
  }
  return "unknown";
}

const Value* Map::Find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Map::Set(std::string_view name, Value value) {
  for (auto& [key, old] : members) {
    if (key == name) {
      old = value;
      return;
    }
  }
  members.emplace_back(name, value);
}

const Value* Scope::Find(std::string_view name, size_t* compared) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
    *compared += 1 + scope->names_.members.size();
    if (const Value* value = scope->names_.Find(name); value != nullptr) return value;
  }
  return nullptr;
}

Status Heap::Charge(size_t bytes) {
  if (bytes > bytes_left_) {
    bytes_left_ = 0;
    return Status(StatusCode::kOutOfRange, "it takes more memory than it may");
  }
  bytes_left_ -= bytes;
  return OkStatus();
}

Result<Value> Heap::Text(std::string text) {
  GRAFT_RETURN_IF_ERROR(Charge(text.size() + kObjectBytes));
  return Value::Of(std::string_view(texts_.emplace_back(std::move(text))));
}

Result<List*> Heap::NewList() {
  GRAFT_RETURN_IF_ERROR(Charge(kObjectBytes));
  return &lists_.emplace_back();
}

Result<Map*> Heap::NewMap() {
  GRAFT_RETURN_IF_ERROR(Charge(kObjectBytes));
  return &maps_.emplace_back();
}

Result<Scope*> Heap::NewScope(Scope* parent) {
  GRAFT_RETURN_IF_ERROR(Charge(kObjectBytes));
  return &scopes_.emplace_back(parent);
}

Result<Function*> Heap::NewFunction() {
  GRAFT_RETURN_IF_ERROR(Charge(kObjectBytes + sizeof(Function)));
  return &functions_.emplace_back();
}

Status Heap::Append(List* list, Value value) {
  GRAFT_RETURN_IF_ERROR(Charge(2 * sizeof(Value)));  // a vector grows by doubling
  list->items.push_back(value);
  return OkStatus();
}

Status Heap::Add(Map* map, std::string_view name, Value value) {
  // Members are looked for one by one.
  if (map->members.size() >= kMaxMembers) {
    return Error(StatusCode::kOutOfRange, "a map of more than %zu members", kMaxMembers);
  }
  GRAFT_RETURN_IF_ERROR(Charge(2 * kMemberBytes));
  map->members.emplace_back(name, value);
  return OkStatus();
}

Status Heap::Set(Map* map, std::string_view name, Value value) {
  if (map->Find(name) == nullptr) return Add(map, name, value);
  GRAFT_RETURN_IF_ERROR(Charge(2 * kMemberBytes));
  map->Set(name, value);
  return OkStatus();
}

Result<bool> Equal(Value a, Value b, size_t* steps_left) { return EqualAt(a, b, 0, steps_left); }

}  // namespace graft::runtime::chat
