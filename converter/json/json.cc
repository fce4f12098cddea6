// SPDX-License-Identifier: Apache-2.0
// JsonValue: checked access to a parsed file, and the sentences that say what is wrong with it.
#include "converter/json/json.h"

#include <algorithm>
#include <cstdio>

#include "converter/json/json_node.h"

namespace graft::converter {

const char* JsonKindName(JsonKind kind) {
  switch (kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBool:
      return "a boolean";
    case JsonKind::kInteger:
      return "an integer";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "unknown";
}

JsonKind JsonValue::kind() const { return document_->nodes_[node_].kind; }

size_t JsonValue::size() const { return document_->nodes_[node_].count; }

JsonValue JsonValue::at(size_t index) const {
  return JsonValue(document_, document_->nodes_[node_].first + static_cast<uint32_t>(index));
}

std::string_view JsonValue::key(size_t index) const {
  return document_->KeyOf(document_->nodes_[document_->nodes_[node_].first + index]);
}

JsonValue JsonValue::Find(std::string_view key) const {
  const JsonDocument::Node& node = document_->nodes_[node_];
  if (node.kind == JsonKind::kObject) {
    const auto begin = document_->by_key_.begin() + node.sorted;
    const auto end = begin + node.count;
    const auto found =
        std::lower_bound(begin, end, key, [this](uint32_t member, std::string_view k) {
          return document_->KeyOf(document_->nodes_[member]) < k;
        });
    if (found != end && document_->KeyOf(document_->nodes_[*found]) == key) {
      return JsonValue(document_, *found);
    }
  }
  return JsonValue(document_, document_->missing_node_);
}

bool JsonValue::Has(std::string_view key) const { return !Find(key).IsNull(); }

std::string JsonValue::path() const {
  if (node_ == 0 || node_ == document_->missing_node_) return std::string();
  const JsonDocument::Node& node = document_->nodes_[node_];
  const JsonDocument::Node& parent = document_->nodes_[node.parent];
  std::string text = JsonValue(document_, node.parent).path();
  if (parent.kind == JsonKind::kArray) {
    return text + "[" + std::to_string(node_ - parent.first) + "]";
  }
  if (!text.empty()) text += '.';
  return text.append(document_->KeyOf(node).substr(0, 200));
}

Status JsonValue::Fail(std::string_view message, StatusCode code) const {
  const std::string where = path();
  std::string text = document_->name_ + ": ";
  if (!where.empty()) text += "'" + where + "' ";
  return Status(code, text.append(message));
}

Status JsonValue::WrongKind(std::string_view key, std::string_view wanted) const {
  const JsonValue member = Find(key);
  std::string where = path();
  if (!where.empty()) where += '.';
  std::string text = document_->name_ + ": '" + where + std::string(key) + "' ";
  if (member.node_ == document_->missing_node_) {
    text += "is missing; it must be " + std::string(wanted);
  } else {
    text += "must be " + std::string(wanted) + ", but is " + JsonKindName(member.kind());
  }
  return Status(StatusCode::kCorrupt, text);
}

namespace {

std::string MustBe(std::string_view wanted, JsonKind kind) {
  return "must be " + std::string(wanted) + ", but is " + JsonKindName(kind);
}

}  // namespace

Result<bool> JsonValue::AsBool() const {
  if (kind() != JsonKind::kBool) return Fail(MustBe("a boolean", kind()));
  return document_->nodes_[node_].integer != 0;
}

Result<int64_t> JsonValue::AsInt() const {
  if (kind() != JsonKind::kInteger) return Fail(MustBe("an integer", kind()));
  return document_->nodes_[node_].integer;
}

Result<double> JsonValue::AsDouble() const {
  if (kind() == JsonKind::kInteger) return static_cast<double>(document_->nodes_[node_].integer);
  if (kind() != JsonKind::kNumber) return Fail(MustBe("a number", kind()));
  return document_->nodes_[node_].number;
}

Result<std::string_view> JsonValue::AsString() const {
  if (kind() != JsonKind::kString) return Fail(MustBe("a string", kind()));
  const JsonDocument::Node& node = document_->nodes_[node_];
  return std::string_view(document_->text_).substr(node.text_offset, node.text_bytes);
}

Result<JsonValue> JsonValue::Get(std::string_view key, JsonKind kind) const {
  const JsonValue member = Find(key);
  const bool fits =
      member.kind() == kind || (kind == JsonKind::kNumber && member.kind() == JsonKind::kInteger);
  if (!fits || member.node_ == document_->missing_node_) return WrongKind(key, JsonKindName(kind));
  return member;
}

Result<bool> JsonValue::GetBool(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue member, Get(key, JsonKind::kBool));
  return member.AsBool();
}

Result<int64_t> JsonValue::GetInt(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue member, Get(key, JsonKind::kInteger));
  return member.AsInt();
}

Result<double> JsonValue::GetDouble(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue member, Get(key, JsonKind::kNumber));
  return member.AsDouble();
}

Result<std::string> JsonValue::GetString(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const JsonValue member, Get(key, JsonKind::kString));
  GRAFT_ASSIGN_OR_RETURN(const std::string_view text, member.AsString());
  return std::string(text);
}

Result<bool> JsonValue::GetBool(std::string_view key, bool fallback) const {
  if (!Has(key)) return fallback;
  return GetBool(key);
}

Result<int64_t> JsonValue::GetInt(std::string_view key, int64_t fallback) const {
  if (!Has(key)) return fallback;
  return GetInt(key);
}

Result<double> JsonValue::GetDouble(std::string_view key, double fallback) const {
  if (!Has(key)) return fallback;
  return GetDouble(key);
}

Result<std::string> JsonValue::GetString(std::string_view key, std::string_view fallback) const {
  if (!Has(key)) return std::string(fallback);
  return GetString(key);
}

Result<std::vector<std::string>> JsonValue::GetStrings(std::string_view key) const {
  std::vector<std::string> strings;
  if (!Has(key)) return strings;
  GRAFT_ASSIGN_OR_RETURN(const JsonValue array, Get(key, JsonKind::kArray));
  for (size_t i = 0; i < array.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view text, array.at(i).AsString());
    strings.emplace_back(text);
  }
  return strings;
}

Result<int64_t> JsonValue::GetIntIn(std::string_view key, int64_t low, int64_t high) const {
  GRAFT_ASSIGN_OR_RETURN(const int64_t value, GetInt(key));
  if (value < low || value > high) {
    return Find(key).Fail("is " + std::to_string(value) + ", outside " + std::to_string(low) +
                          " to " + std::to_string(high));
  }
  return value;
}

Result<int64_t> JsonValue::GetIntIn(std::string_view key, int64_t low, int64_t high,
                                    int64_t fallback) const {
  if (!Has(key)) return fallback;
  return GetIntIn(key, low, high);
}

std::string JsonValue::Text(size_t max_bytes) const {
  const JsonDocument::Node& node = document_->nodes_[node_];
  std::string text;
  switch (node.kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBool:
      return node.integer != 0 ? "true" : "false";
    case JsonKind::kInteger:
      return std::to_string(node.integer);
    case JsonKind::kNumber: {
      char number[32];
      std::snprintf(number, sizeof number, "%.17g", node.number);
      return number;
    }
    case JsonKind::kString: {
      const std::string_view whole =
          std::string_view(document_->text_).substr(node.text_offset, node.text_bytes);
      size_t bytes = std::min<size_t>(whole.size(), max_bytes);
      while (bytes > 0 && bytes < whole.size() && (whole[bytes] & 0xC0) == 0x80) --bytes;
      return JsonQuote(whole.substr(0, bytes)) + (bytes < whole.size() ? "..." : "");
    }
    case JsonKind::kArray:
    case JsonKind::kObject: {
      const bool object = node.kind == JsonKind::kObject;
      text += object ? '{' : '[';
      for (size_t i = 0; i < node.count; ++i) {
        if (i > 0) text += ", ";
        if (text.size() >= max_bytes) {
          text += "...";
          break;
        }
        if (object) text += JsonQuote(key(i).substr(0, 100)) + ": ";
        text += at(i).Text(max_bytes > text.size() ? max_bytes - text.size() : 0);
      }
      return text + (object ? '}' : ']');
    }
  }
  return text;
}

}  // namespace graft::converter
