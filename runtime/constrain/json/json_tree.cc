// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/json/json_tree.h"

#include <algorithm>
#include <span>
#include <unordered_set>

#include "runtime/base/utf8.h"
#include "runtime/constrain/characters.h"

namespace graft::runtime {
namespace {

constexpr size_t kFewMembers = 32;  // of an object that is searched from its first to its last

std::string KeyWithin(JsonId object, std::string_view key) {
  return std::string(KeyOf(std::span<const JsonId>(&object, 1))).append(key);
}

}  // namespace

/// Reads one text, depth first.
class JsonReader {
 public:
  JsonReader(std::string_view text, const char* name, JsonTree* tree)
      : text_(text), name_(name), tree_(*tree) {}

  Status Read() {
    GRAFT_RETURN_IF_ERROR(ReadValue(kNoJson, {}, 0));
    SkipSpace();
    return at_ == text_.size() ? OkStatus() : Fail("something follows the value");
  }

 private:
  Status Fail(const char* what) const {
    return Error(StatusCode::kInvalidArgument, "the %s is not JSON: %s at byte %zu", name_, what,
                 at_);
  }

  void SkipSpace() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  bool Take(char c) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  Status ReadValue(JsonId parent, std::string step, size_t depth) {
    if (depth > kMaxSchemaDepth) {
      return Error(StatusCode::kInvalidArgument, "the %s is nested deeper than %zu levels", name_,
                   kMaxSchemaDepth);
    }
    if (tree_.nodes_.size() >= kMaxSchemaValues) {
      return Error(StatusCode::kInvalidArgument, "the %s has more than %zu values", name_,
                   kMaxSchemaValues);
    }
    SkipSpace();
    if (at_ >= text_.size()) return Fail("it ends too early");
    const auto id = static_cast<JsonId>(tree_.nodes_.size());
    tree_.nodes_.emplace_back();
    tree_.nodes_[id].parent = parent;
    tree_.nodes_[id].step = std::move(step);
    const char c = text_[at_];
    if (c == '{') return ReadObject(id, depth);
    if (c == '[') return ReadArray(id, depth);
    if (c == '"') {
      tree_.nodes_[id].type = JsonType::kString;
      std::string text;
      GRAFT_RETURN_IF_ERROR(ReadString(&text));
      tree_.nodes_[id].text = std::move(text);
      return OkStatus();
    }
    constexpr std::pair<std::string_view, JsonType> kWords[] = {
        {"null", JsonType::kNull}, {"true", JsonType::kTrue}, {"false", JsonType::kFalse}};
    for (const auto& [word, type] : kWords) {
      if (text_.substr(at_, word.size()) != word) continue;
      tree_.nodes_[id].type = type;
      at_ += word.size();
      return OkStatus();
    }
    return ReadNumber(id);
  }

  Status ReadNumber(JsonId id) {
    const size_t begin = at_;
    const auto digits = [&] {
      const size_t from = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      return at_ - from;
    };
    const auto peek = [&] { return at_ < text_.size() ? text_[at_] : '\0'; };
    if (peek() == '-') ++at_;
    const bool leads_with_zero = peek() == '0';
    const size_t whole = digits();
    if (whole == 0 || (leads_with_zero && whole > 1)) return Fail("no value stands");
    if (peek() == '.') {
      ++at_;
      if (digits() == 0) return Fail("a number lacks digits");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (digits() == 0) return Fail("a number lacks digits");
    }
    tree_.nodes_[id].type = JsonType::kNumber;
    tree_.nodes_[id].text = std::string(text_.substr(begin, at_ - begin));
    return OkStatus();
  }

  Status ReadArray(JsonId id, size_t depth) {
    tree_.nodes_[id].type = JsonType::kArray;
    ++at_;
    if (Take(']')) return OkStatus();
    do {
      tree_.nodes_[id].items.push_back(static_cast<JsonId>(tree_.nodes_.size()));
      GRAFT_RETURN_IF_ERROR(
          ReadValue(id, std::to_string(tree_.nodes_[id].items.size() - 1), depth + 1));
    } while (Take(','));
    return Take(']') ? OkStatus() : Fail("an array lacks ',' or ']'");
  }

  Status ReadObject(JsonId id, size_t depth) {
    tree_.nodes_[id].type = JsonType::kObject;
    ++at_;
    if (Take('}')) return OkStatus();
    std::unordered_set<std::string> keys;
    do {
      SkipSpace();
      std::string key;
      if (at_ >= text_.size() || text_[at_] != '"') return Fail("a key is no string");
      GRAFT_RETURN_IF_ERROR(ReadString(&key));
      if (!keys.insert(key).second) return Fail("a key stands twice in one object");
      if (!Take(':')) return Fail("a key lacks ':'");
      tree_.AddMember(id, key, static_cast<JsonId>(tree_.nodes_.size()));
      GRAFT_RETURN_IF_ERROR(ReadValue(id, std::move(key), depth + 1));
    } while (Take(','));
    return Take('}') ? OkStatus() : Fail("an object lacks ',' or '}'");
  }

  Status ReadHex(uint32_t* code) {
    *code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Fail("\\u lacks four digits");
      *code = *code * 16 + static_cast<uint32_t>(digit);
    }
    return OkStatus();
  }

  Status ReadEscape(std::string* out) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    if (const size_t i = kLetters.find(c); c != '\0' && i != std::string_view::npos) {
      out->push_back(kMeanings[i]);
      return OkStatus();
    }
    if (c != 'u') return Fail("an escape is none of JSON's");
    uint32_t code = 0;
    GRAFT_RETURN_IF_ERROR(ReadHex(&code));
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      uint32_t low = 0;
      GRAFT_RETURN_IF_ERROR(ReadHex(&low));
      if (low < 0xDC00 || low > 0xDFFF) return Fail("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code < 0xE000) return Fail("half a surrogate pair");
    AppendUtf8(code, out);
    return OkStatus();
  }

  Status ReadString(std::string* out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return OkStatus();
      if (static_cast<uint8_t>(c) < 0x20) return Fail("a string has a control character");
      if (c == '\\') {
        GRAFT_RETURN_IF_ERROR(ReadEscape(out));
      } else {
        out->push_back(c);
      }
    }
    return Fail("a string does not end");
  }

  std::string_view text_;
  const char* name_;
  JsonTree& tree_;
  size_t at_ = 0;
};

Result<JsonTree> JsonTree::Parse(std::string_view text, const char* name) {
  if (text.size() > kMaxSchemaBytes) {
    return Error(StatusCode::kInvalidArgument, "the %s has %zu bytes, more than %zu", name,
                 text.size(), kMaxSchemaBytes);
  }
  if (!IsValidUtf8(text)) {
    return Error(StatusCode::kInvalidArgument, "the %s is not UTF-8", name);
  }
  JsonTree tree;
  GRAFT_RETURN_IF_ERROR(JsonReader(text, name, &tree).Read());
  return tree;
}

void JsonTree::NoteLastMember(JsonId object) {
  const auto& members = nodes_[object].members;
  if (members.size() <= kFewMembers) return;
  bool is_new = false;
  for (size_t i = members.size() == kFewMembers + 1 ? 0 : members.size() - 1; i < members.size();
       ++i) {
    index_.Insert(KeyWithin(object, members[i].first), members[i].second, &is_new);
  }
}

JsonId JsonTree::Find(JsonId id, std::string_view key) const {
  if (nodes_[id].members.size() > kFewMembers) {
    const uint32_t* const value = index_.Find(KeyWithin(id, key));
    return value == nullptr ? kNoJson : *value;
  }
  for (const auto& [name, value] : nodes_[id].members) {
    if (name == key) return value;
  }
  return kNoJson;
}

JsonId JsonTree::At(std::string_view pointer) const {
  JsonId id = 0;
  while (!pointer.empty()) {
    if (pointer.front() != '/') return kNoJson;
    pointer.remove_prefix(1);
    const std::string_view raw = pointer.substr(0, pointer.find('/'));
    pointer.remove_prefix(raw.size());
    std::string step;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] == '~' && i + 1 < raw.size() && (raw[i + 1] == '0' || raw[i + 1] == '1')) {
        step.push_back(raw[++i] == '0' ? '~' : '/');
      } else if (raw[i] == '%' && i + 2 < raw.size()) {
        const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
        step.push_back(static_cast<char>((digit(raw[i + 1]) << 4 | digit(raw[i + 2])) & 0xFF));
        i += 2;
      } else {
        step.push_back(raw[i]);
      }
    }
    const JsonNode& node = nodes_[id];
    JsonId next = kNoJson;
    if (node.type == JsonType::kArray && !step.empty() && step.size() < 7 &&
        step.find_first_not_of("0123456789") == std::string::npos) {
      size_t index = 0;
      for (const char c : step) index = index * 10 + static_cast<size_t>(c - '0');
      if (index < node.items.size()) next = node.items[index];
    } else {
      next = Find(id, step);
    }
    if (next == kNoJson) return kNoJson;
    id = next;
  }
  return id;
}

std::string JsonTree::Place(JsonId id) const {
  std::vector<std::string_view> steps;
  for (; id != kNoJson && nodes_[id].parent != kNoJson; id = nodes_[id].parent) {
    steps.push_back(nodes_[id].step);
  }
  std::string place = "#";
  for (size_t i = steps.size(); i-- > 0;) {
    if (place.size() > 200) return place + "/...";
    place.append("/").append(steps[i].substr(0, 100));
  }
  return place;
}

JsonId JsonTree::Add(JsonType type, JsonId near) {
  JsonNode node;
  node.type = type;
  node.parent = nodes_[near].parent;
  node.step = nodes_[near].step;
  nodes_.push_back(std::move(node));
  return static_cast<JsonId>(nodes_.size() - 1);
}

JsonId JsonTree::AddString(std::string_view text, JsonId near) {
  const JsonId id = Add(JsonType::kString, near);
  nodes_[id].text = text;
  return id;
}

void JsonTree::AddMember(JsonId object, std::string_view key, JsonId value) {
  nodes_[object].members.emplace_back(key, value);
  NoteLastMember(object);
}

void JsonTree::AddItem(JsonId array, JsonId value) { nodes_[array].items.push_back(value); }

std::string JsonTree::Text(JsonId id) const {
  const JsonNode& node = nodes_[id];
  std::string text;
  switch (node.type) {
    case JsonType::kNull:
      return "null";
    case JsonType::kTrue:
      return "true";
    case JsonType::kFalse:
      return "false";
    case JsonType::kNumber:
      return node.text;
    case JsonType::kString:
      return QuoteJson(node.text);
    case JsonType::kArray:
      for (const JsonId item : node.items) text.append(text.empty() ? "[" : ",").append(Text(item));
      return text.empty() ? "[]" : text + "]";
    case JsonType::kObject:
      for (const auto& [key, value] : node.members) {
        text.append(text.empty() ? "{" : ",").append(QuoteJson(key)).append(":");
        text.append(Text(value));
      }
      return text.empty() ? "{}" : text + "}";
  }
  return text;
}

}  // namespace graft::runtime
