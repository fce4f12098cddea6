// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/value_text.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>

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
  Writer(bool is_json, int indent, const WriteLimits& limits, std::string* out)
      : is_json_(is_json), indent_(indent), limits_(limits), out_(out) {}

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
        AppendFloat(value.float_value(), out_);
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
      GRAFT_RETURN_IF_ERROR(Check(map.members[i].first.size()));
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
  return Writer(false, -1, limits, out).Write(value, 0);
}

Status AppendJson(Value value, int indent, const WriteLimits& limits, std::string* out) {
  return Writer(true, indent, limits, out).Write(value, 0);
}

}  // namespace graft::runtime::chat
