// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/value_text.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/constrain/json/json_tree.h"

namespace graft::runtime::chat {
namespace {

Status TooLong(size_t max_bytes) {
  return Error(StatusCode::kOutOfRange, "the text has more than %zu bytes", max_bytes);
}

Status Pay(size_t steps, size_t* steps_left) {
  if (steps > *steps_left) {
    *steps_left = 0;
    return Status(StatusCode::kOutOfRange, "writing a value takes too many steps");
  }
  *steps_left -= steps;
  return OkStatus();
}

/// A number as Python writes it: the shortest digits that read back the same.
void AppendFloat(double float_value, std::string* out) {
  if (std::isnan(float_value)) {
    out->append("nan");
    return;
  }
  if (std::isinf(float_value)) {
    out->append(float_value < 0 ? "-inf" : "inf");
    return;
  }
  char digits[40];
  const double size = std::fabs(float_value);
  // A number of at most 15 digits comes back from a normal double as it was, behind zeros.
  int precision = size < std::numeric_limits<double>::min() ? 1 : 15;
  for (; precision <= 17; ++precision) {
    std::snprintf(digits, sizeof(digits), "%.*e", precision - 1, float_value);
    if (std::strtod(digits, nullptr) != float_value) continue;
    if (precision == 15) {
      const char* last = std::strchr(digits, 'e') - 1;
      while (precision > 1 && *last == '0') --last, --precision;
      std::snprintf(digits, sizeof(digits), "%.*e", precision - 1, float_value);
    }
    if (size != 0 && (size < 1e-4 || size >= 1e16)) {
      // Python's exponents have two digits at least, as C's have.
      out->append(digits);
      return;
    }
    const int exponent = std::atoi(std::strchr(digits, 'e') + 1);
    std::snprintf(digits, sizeof(digits), "%.*f", std::max(1, precision - 1 - exponent),
                  float_value);
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

void AppendEscape(uint32_t unit, std::string* out) {
  char escape[16];
  std::snprintf(escape, sizeof(escape), "\\u%04x", unit);
  out->append(escape);
}

void AppendJsonString(std::string_view text, bool ensure_ascii, std::string* out) {
  out->push_back('"');
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
    constexpr std::string_view kEscaped = "\"\\nrtbf";
    const auto byte = static_cast<uint8_t>(c);
    if (const size_t at = kPlain.find(c); at != std::string_view::npos) {
      out->append(1, '\\').append(1, kEscaped[at]);
    } else if (byte < 0x20) {
      AppendEscape(byte, out);
    } else if (ensure_ascii && byte >= 0x80) {
      const size_t bytes = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
      uint32_t code = byte & (0x7Fu >> bytes);
      for (size_t k = 1; k < bytes && i + 1 < text.size(); ++k) {
        code = code << 6 | (static_cast<uint8_t>(text[++i]) & 0x3Fu);
      }
      if (code >= 0x10000) AppendEscape(0xD7C0 + (code >> 10), out);
      AppendEscape(code >= 0x10000 ? 0xDC00 + (code & 0x3FF) : code, out);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

Result<Value> NumberOf(const std::string& text, const char* name) {
  if (text.find_first_of(".eE") != std::string::npos) {
    return Value::Of(std::strtod(text.c_str(), nullptr));
  }
  errno = 0;
  const long long number = std::strtoll(text.c_str(), nullptr, 10);
  if (errno == 0) return Value::Of(static_cast<int64_t>(number));
  return Error(StatusCode::kInvalidArgument, "the %s has an integer that exceeds 64 bits: %.40s",
               name, text.c_str());
}

Result<Value> ValueOf(const JsonTree& tree, JsonId id, const char* name, Heap* heap) {
  const JsonNode& node = tree[id];
  switch (node.type) {
    case JsonType::kNull:
      break;
    case JsonType::kFalse:
    case JsonType::kTrue:
      return Value::Of(node.type == JsonType::kTrue);
    case JsonType::kNumber:
      return NumberOf(node.text, name);
    case JsonType::kString:
      return heap->Text(node.text);
    case JsonType::kArray: {
      GRAFT_ASSIGN_OR_RETURN(List * list, heap->NewList());
      for (const JsonId item : node.items) {
        GRAFT_ASSIGN_OR_RETURN(const Value value, ValueOf(tree, item, name, heap));
        GRAFT_RETURN_IF_ERROR(heap->Append(list, value));
      }
      return Value::Of(list);
    }
    case JsonType::kObject: {
      GRAFT_ASSIGN_OR_RETURN(Map * map, heap->NewMap());
      for (const auto& [key, member] : node.members) {
        GRAFT_ASSIGN_OR_RETURN(const Value owned, heap->Text(key));
        GRAFT_ASSIGN_OR_RETURN(const Value value, ValueOf(tree, member, name, heap));
        GRAFT_RETURN_IF_ERROR(heap->Add(map, owned.text(), value));
      }
      return Value::Of(map);
    }
  }
  return Value::None();
}

/// Writes values in one of two spellings.
class Writer {
 public:
  Writer(bool is_json, const JsonStyle& style, const WriteLimits& limits, std::string* out)
      : is_json_(is_json), style_(style), limits_(limits), out_(out) {}

  Status Write(Value value, int depth) {
    if (depth > kMaxValueDepth) {
      return Error(StatusCode::kOutOfRange, "a value is nested deeper than %d", kMaxValueDepth);
    }
    GRAFT_RETURN_IF_ERROR(Check(value.IsString() ? value.text().size() : 0));
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
        out_->append(std::to_string(value.int_value()));
        break;
      case ValueKind::kFloat:
        WriteFloat(value.float_value());
        break;
      case ValueKind::kString:
        if (is_json_) {
          AppendJsonString(value.text(), style_.ensure_ascii, out_);
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
    return out_->size() > limits_.max_bytes ? TooLong(limits_.max_bytes) : OkStatus();
  }

 private:
  /// Before a value of so many bytes is written.
  Status Check(size_t bytes) {
    if (bytes > limits_.max_bytes || out_->size() > limits_.max_bytes - bytes) {
      return TooLong(limits_.max_bytes);
    }
    return Pay(1 + bytes / kCharactersPerStep, limits_.steps_left);
  }

  void WriteFloat(double number) {
    if (is_json_ && !std::isfinite(number)) {
      out_->append(std::isnan(number) ? "NaN" : number < 0 ? "-Infinity" : "Infinity");
    } else {
      AppendFloat(number, out_);
    }
  }

  /// What stands between and around elements.
  void Break(bool is_first, int depth) {
    if (!is_first && style_.item_separator.data() != nullptr) {
      out_->append(style_.item_separator);
    } else if (!is_first) {
      out_->append(style_.indent < 0 ? ", " : ",");
    }
    NewLine(depth);
  }
  void NewLine(int depth) {
    if (style_.indent < 0) return;
    out_->push_back('\n');
    out_->append(static_cast<size_t>(style_.indent) * static_cast<size_t>(depth), ' ');
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
    std::vector<size_t> order(map.members.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      std::sort(order.begin(), order.end(),
                [&](size_t a, size_t b) { return map.members[a].first < map.members[b].first; });
    }
    for (size_t i = 0; i < order.size(); ++i) {
      const auto& [name, value] = map.members[order[i]];
      Break(i == 0, depth + 1);
      GRAFT_RETURN_IF_ERROR(Check(name.size()));
      if (is_json_) {
        AppendJsonString(name, style_.ensure_ascii, out_);
      } else {
        AppendRepr(name, out_);
      }
      out_->append(style_.key_separator);
      GRAFT_RETURN_IF_ERROR(Write(value, depth + 1));
    }
    if (!map.members.empty()) NewLine(depth);
    out_->push_back('}');
    return OkStatus();
  }

  const bool is_json_;
  const JsonStyle style_;
  const WriteLimits limits_;
  std::string* out_;
};

}  // namespace

Status AppendText(Value value, const WriteLimits& limits, std::string* out) {
  if (value.IsString()) {
    const size_t bytes = value.text().size();
    if (bytes > limits.max_bytes || out->size() > limits.max_bytes - bytes) {
      return TooLong(limits.max_bytes);
    }
    GRAFT_RETURN_IF_ERROR(Pay(bytes / kBytesPerStep, limits.steps_left));
    out->append(value.text());
    return OkStatus();
  }
  if (value.Is(ValueKind::kUndefined)) return OkStatus();
  return Writer(false, JsonStyle(), limits, out).Write(value, 0);
}

Status AppendJson(Value value, const JsonStyle& style, const WriteLimits& limits,
                  std::string* out) {
  return Writer(true, style, limits, out).Write(value, 0);
}

Result<Value> ReadJsonValue(std::string_view json, const char* name, Heap* heap) {
  GRAFT_ASSIGN_OR_RETURN(const JsonTree tree, JsonTree::Parse(json, name));
  return ValueOf(tree, 0, name, heap);
}

}  // namespace graft::runtime::chat
