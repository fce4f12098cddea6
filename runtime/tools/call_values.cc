// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/call_values.h"

#include <algorithm>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/constrain/characters.h"
#include "runtime/tools/call_body.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxWordBytes = 400;  // of a number or a word

int DigitOf(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

}  // namespace

bool ReadTree(std::string_view text, JsonTree* tree) {
  Result<JsonTree> read = JsonTree::Parse(text);
  if (!read.ok()) return false;
  *tree = std::move(read).value();
  return true;
}

std::string LiteralAsJson(std::string_view text) {
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"True", "true"}, {"False", "false"}, {"None", "null"}};
  for (const auto& [word, json] : kWords) {
    if (text == word) return std::string(json);
  }
  JsonTree tree;
  if (!ReadTree(text, &tree) || tree[0].type == JsonType::kString) return std::string();
  return tree.Text(0);
}

void ValueReader::SkipSpace() {
  while (at_ < text_.size() && IsCallSpace(text_[at_])) ++at_;
}

bool ValueReader::AtEnd() {
  SkipSpace();
  return at_ == text_.size();
}

char ValueReader::Peek() {
  SkipSpace();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool ValueReader::Take(char c) {
  if (Peek() != c || at_ == text_.size()) return false;
  ++at_;
  return true;
}

bool ValueReader::TakeText(std::string_view text) {
  SkipSpace();
  if (!text_.substr(at_).starts_with(text)) return false;
  at_ += text.size();
  return true;
}

std::string_view ValueReader::TakeName() {
  SkipSpace();
  const size_t begin = at_;
  while (at_ < text_.size() && IsCallNameByte(text_[at_])) ++at_;
  return text_.substr(begin, at_ - begin);
}

bool ValueReader::ReadEscape(std::string* text) {
  if (at_ >= text_.size()) return false;
  constexpr std::string_view kLetters = "\\'\"/bfnrt";
  constexpr std::string_view kMeanings = "\\'\"/\b\f\n\r\t";
  const char c = text_[at_++];
  if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
    text->push_back(kMeanings[i]);
    return true;
  }
  if (c == '\n') return true;
  const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (digits == 0) {  // Python leaves the others as they are
    text->append(1, '\\').append(1, c);
    return true;
  }
  const auto read = [&](size_t count, uint32_t* code) {
    *code = 0;
    for (size_t i = 0; i < count; ++i, ++at_) {
      const int digit = at_ < text_.size() ? DigitOf(text_[at_]) : -1;
      if (digit < 0) return false;
      *code = *code << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  };
  uint32_t code = 0;
  if (!read(digits, &code)) return false;
  if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
    at_ += 2;
    uint32_t low = 0;
    if (!read(4, &low) || low < 0xDC00 || low > 0xDFFF) return false;
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  AppendUtf8(code, text);
  return true;
}

bool ValueReader::ReadPythonString(char quote, std::string* out) {
  std::string text;
  while (at_ < text_.size()) {
    const char c = text_[at_++];
    if (c == quote) {
      out->append(QuoteJson(text));
      return true;
    }
    if (c != '\\') {
      text.push_back(c);
    } else if (!ReadEscape(&text)) {
      return false;
    }
  }
  return false;
}

bool ValueReader::ReadQuoted(std::string* out) {
  const size_t end = text_.find(quote_, at_);
  if (end == std::string_view::npos) return false;
  out->append(QuoteJson(text_.substr(at_, end - at_)));
  at_ = end + quote_.size();
  return true;
}

bool ValueReader::ReadList(char close, std::string* out, size_t depth) {
  out->push_back('[');
  for (bool is_first = true; !Take(close); is_first = false) {
    if (!is_first && !Take(',')) return false;
    if (!is_first && Take(close)) break;  // behind a last comma
    if (!is_first) out->push_back(',');
    if (!ReadValue(out, depth + 1)) return false;
  }
  out->push_back(']');
  return true;
}

bool ValueReader::ReadKey(std::string* out) {
  if (!quote_.empty()) {
    if (TakeText(quote_)) return ReadQuoted(out);
    SkipSpace();
    const size_t end = text_.find_first_of(":,{}[]", at_);
    if (end == std::string_view::npos || end == at_) return false;
    out->append(QuoteJson(text_.substr(at_, end - at_)));
    at_ = end;
    return true;
  }
  if (Take('"')) return ReadPythonString('"', out);
  return Take('\'') && ReadPythonString('\'', out);
}

bool ValueReader::ReadMembers(std::string* out, size_t depth) {
  if (!Take('{')) return false;
  out->push_back('{');
  for (bool is_first = true; !Take('}'); is_first = false) {
    if (!is_first && !Take(',')) return false;
    if (!is_first && Take('}')) break;
    if (!is_first) out->push_back(',');
    if (!ReadKey(out) || !Take(':')) return false;
    out->push_back(':');
    if (!ReadValue(out, depth + 1)) return false;
  }
  out->push_back('}');
  return true;
}

bool ValueReader::ReadKeywords(std::string* out) {
  if (!Take('(')) return false;
  out->push_back('{');
  for (bool is_first = true; !Take(')'); is_first = false) {
    if (!is_first && !Take(',')) return false;
    if (!is_first && Take(')')) break;
    if (!is_first) out->push_back(',');
    const std::string_view name = TakeName();
    if (name.empty() || !Take('=')) return false;
    out->append(QuoteJson(name)).push_back(':');
    if (!ReadValue(out)) return false;
  }
  out->push_back('}');
  return true;
}

bool ValueReader::ReadWord(std::string* out) {
  SkipSpace();
  const size_t begin = at_;
  while (at_ < text_.size() &&
         std::string_view(",:{}[]()'\"=").find(text_[at_]) == std::string_view::npos) {
    ++at_;
  }
  std::string_view word = text_.substr(begin, at_ - begin);
  while (!word.empty() && IsCallSpace(word.back())) word.remove_suffix(1);
  if (word.empty() || word.size() > kMaxWordBytes) return false;
  const std::string literal = LiteralAsJson(word);
  if (!literal.empty()) {
    out->append(literal);
    return true;
  }
  if (quote_.empty()) return false;
  out->append(QuoteJson(word));  // a text whose quotes the model forgot
  return true;
}

bool ValueReader::ReadValue(std::string* out, size_t depth) {
  if (depth > kMaxDepth) return false;
  if (!quote_.empty() && TakeText(quote_)) return ReadQuoted(out);
  switch (Peek()) {
    case '{':
      return ReadMembers(out, depth);
    case '[':
      return Take('[') && ReadList(']', out, depth);
    case '(':
      return quote_.empty() && Take('(') && ReadList(')', out, depth);
    case '"':
    case '\'': {
      const char quote = Peek();
      return quote_.empty() && Take(quote) && ReadPythonString(quote, out);
    }
    default:
      return ReadWord(out);
  }
}

}  // namespace graft::runtime
