// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/value.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace graft::runtime::chat {
namespace {

constexpr int kMaxDepth = 64;

constexpr size_t kMaxMembers = 1024;

// What one object costs in the heap beside its contents, about.
constexpr size_t kObjectBytes = 64;
constexpr size_t kMemberBytes = sizeof(std::pair<std::string_view, Value>);

Status TooLong(size_t max_bytes) {
  return Error(StatusCode::kOutOfRange, "the text has more than %zu bytes", max_bytes);
}

/// A number as Python writes it: the shortest digits that read back the same.
void AppendReal(double real, std::string* out) {
  if (std::isnan(real)) {
    out->append("nan");
    return;
  }
  if (std::isinf(real)) {
    out->append(real < 0 ? "-inf" : "inf");
    return;
  }
  char digits[40];
  const double size = std::fabs(real);
  for (int precision = 1; precision <= 17; ++precision) {
    std::snprintf(digits, sizeof(digits), "%.*e", precision - 1, real);
    if (std::strtod(digits, nullptr) != real) continue;
    if (size != 0 && (size < 1e-4 || size >= 1e16)) {
      // Python's exponents have two digits at least, as C's have.
      out->append(digits);
      return;
    }
    const int exponent = std::atoi(std::strchr(digits, 'e') + 1);
    std::snprintf(digits, sizeof(digits), "%.*f", std::max(1, precision - 1 - exponent), real);
    break;
  }
  out->append(digits);
}

/// A string as Python's repr writes it.
void AppendRepr(std::string_view text, std::string* out) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out->push_back(quote);
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '\n') {
      out->append("\\n");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c == '\\' || c == quote) {
      out->append(1, '\\').append(1, c);
    } else if (byte < 0x20 || byte == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\x%02x", byte);
      out->append(escape);
    } else {
      out->push_back(c);
    }
  }
  out->push_back(quote);
}

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
    constexpr std::string_view kEscaped = "\"\\nrtbf";
    const auto byte = static_cast<uint8_t>(c);
    if (const size_t at = kPlain.find(c); at != std::string_view::npos) {
      out->append(1, '\\').append(1, kEscaped[at]);
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", byte);
      out->append(escape);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

/// Writes values in one of two spellings.
class Writer {
 public:
  Writer(bool is_json, int indent, size_t max_bytes, std::string* out)
      : is_json_(is_json), indent_(indent), max_bytes_(max_bytes), out_(out) {}

  Status Write(Value value, int depth) {
    if (depth > kMaxDepth) {
      return Error(StatusCode::kOutOfRange, "a value is nested deeper than %d", kMaxDepth);
    }
    if (out_->size() > max_bytes_) return TooLong(max_bytes_);
    switch (value.kind()) {
      case ValueKind::kUndefined:
        if (is_json_) return Status(StatusCode::kCorrupt, "JSON has nothing for undefined");
        out_->append("Undefined");
        break;
      case ValueKind::kNone:
        out_->append(is_json_ ? "null" : "None");
        break;
      case ValueKind::kBool:
        out_->append(is_json_ ? (value.truth() ? "true" : "false")
                              : (value.truth() ? "True" : "False"));
        break;
      case ValueKind::kInteger:
        out_->append(std::to_string(value.whole()));
        break;
      case ValueKind::kReal:
        AppendReal(value.real(), out_);
        break;
      case ValueKind::kString:
        if (is_json_) {
          AppendJsonString(value.text(), out_);
        } else {
          AppendRepr(value.text(), out_);
        }
        break;
      case ValueKind::kList:
        return WriteList(value.list(), depth);
      case ValueKind::kMap:
        return WriteMap(value.map(), depth);
      case ValueKind::kNamespace:
      case ValueKind::kFunction:
        if (is_json_) return Status(StatusCode::kCorrupt, "JSON has no functions");
        out_->append("<").append(value.type_name()).append(">");
        break;
    }
    return out_->size() > max_bytes_ ? TooLong(max_bytes_) : OkStatus();
  }

 private:
  /// What stands between and around elements.
  void Break(bool is_first, int depth) {
    if (!is_first) out_->append(indent_ < 0 ? ", " : ",");
    NewLine(depth);
  }
  void NewLine(int depth) {
    if (indent_ < 0) return;
    out_->push_back('\n');
    out_->append(static_cast<size_t>(indent_) * static_cast<size_t>(depth), ' ');
  }

  Status WriteList(const List& list, int depth) {
    const bool is_tuple = list.is_tuple && !is_json_;
    out_->push_back(is_tuple ? '(' : '[');
    for (size_t i = 0; i < list.items.size(); ++i) {
      Break(i == 0, depth + 1);
      GRAFT_RETURN_IF_ERROR(Write(list.items[i], depth + 1));
    }
    if (is_tuple && list.items.size() == 1) out_->push_back(',');
    if (!list.items.empty()) NewLine(depth);
    out_->push_back(is_tuple ? ')' : ']');
    return OkStatus();
  }

  Status WriteMap(const Map& map, int depth) {
    out_->push_back('{');
    for (size_t i = 0; i < map.members.size(); ++i) {
      Break(i == 0, depth + 1);
      if (is_json_) {
        AppendJsonString(map.members[i].first, out_);
      } else {
        AppendRepr(map.members[i].first, out_);
      }
      out_->append(": ");
      GRAFT_RETURN_IF_ERROR(Write(map.members[i].second, depth + 1));
    }
    if (!map.members.empty()) NewLine(depth);
    out_->push_back('}');
    return OkStatus();
  }

  const bool is_json_;
  const int indent_;
  const size_t max_bytes_;
  std::string* out_;
};

Result<bool> EqualAt(Value a, Value b, int depth, size_t* steps_left) {
  if (depth > kMaxDepth || *steps_left == 0) {
    return Status(StatusCode::kOutOfRange, "a comparison takes too many steps");
  }
  --*steps_left;
  if (a.IsNumber() && b.IsNumber()) {
    if (a.Is(ValueKind::kReal) || b.Is(ValueKind::kReal)) return a.real() == b.real();
    return a.whole() == b.whole();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case ValueKind::kString:
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
  value.whole_ = truth ? 1 : 0;
  return value;
}

Value Value::Of(int64_t whole) {
  Value value;
  value.kind_ = ValueKind::kInteger;
  value.whole_ = whole;
  return value;
}

Value Value::Of(double real) {
  Value value;
  value.kind_ = ValueKind::kReal;
  value.real_ = real;
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
      return whole_ != 0;
    case ValueKind::kReal:
      return real_ != 0;
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
    case ValueKind::kReal:
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

const Value* Scope::Find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
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

Status Heap::Set(Map* map, std::string_view name, Value value) {
  // Members are looked for one by one.
  if (map->members.size() >= kMaxMembers) {
    return Error(StatusCode::kOutOfRange, "a map of more than %zu members", kMaxMembers);
  }
  GRAFT_RETURN_IF_ERROR(Charge(2 * kMemberBytes));
  map->Set(name, value);
  return OkStatus();
}

Status Heap::Set(Scope* scope, std::string_view name, Value value) {
  return Set(&scope->names(), name, value);
}

Result<bool> Equal(Value a, Value b, size_t* steps_left) { return EqualAt(a, b, 0, steps_left); }

Status AppendText(Value value, size_t max_bytes, std::string* out) {
  if (value.IsString()) {
    if (value.text().size() > max_bytes || out->size() > max_bytes - value.text().size()) {
      return TooLong(max_bytes);
    }
    out->append(value.text());
    return OkStatus();
  }
  if (value.Is(ValueKind::kUndefined)) return OkStatus();
  return Writer(false, -1, max_bytes, out).Write(value, 0);
}

Status AppendJson(Value value, int indent, size_t max_bytes, std::string* out) {
  return Writer(true, indent, max_bytes, out).Write(value, 0);
}

}  // namespace graft::runtime::chat
