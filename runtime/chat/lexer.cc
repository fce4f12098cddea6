// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/lexer.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "runtime/base/utf8.h"

namespace graft::runtime::chat {
namespace {

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         static_cast<uint8_t>(c) >= 0x80;
}

/// "\r\n" and "\r" become "\n"; the last line end goes.
void NormalizeLines(std::string* source) {
  std::string lines;
  lines.reserve(source->size());
  for (size_t i = 0; i < source->size(); ++i) {
    const char c = (*source)[i];
    if (c == '\r' && i + 1 < source->size() && (*source)[i + 1] == '\n') continue;
    lines += c == '\r' ? '\n' : c;
  }
  if (lines.ends_with('\n')) lines.pop_back();
  *source = std::move(lines);
}

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// What a string literal without its quotes stands for, with Python's escapes.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    const char c = text[++at];
    constexpr std::string_view kNames = "ntrabfv\\'\"";
    constexpr std::string_view kValues = "\n\t\r\a\b\f\v\\'\"";
    if (const size_t simple = kNames.find(c); simple != std::string_view::npos) {
      out += kValues[simple];
      continue;
    }
    if (c == '\n') continue;
    if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      size_t end = at;
      while (end < text.size() && end < at + 3 && text[end] >= '0' && text[end] <= '7') {
        code = code * 8 + static_cast<uint32_t>(text[end++] - '0');
      }
      AppendUtf8(code, &out);
      at = end - 1;
      continue;
    }
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t code = 0;
    size_t seen = 0;
    while (seen < digits && at + 1 + seen < text.size()) {
      const int digit = HexDigit(text[at + 1 + seen]);
      if (digit < 0) break;
      code = code * 16 + static_cast<uint32_t>(digit);
      ++seen;
    }
    const bool is_character = code < 0x110000 && (code < 0xD800 || code > 0xDFFF);
    if (digits > 0 && seen == digits && is_character) {
      AppendUtf8(code, &out);
      at += digits;
      continue;
    }
    out += '\\';
    out += c;
  }
  return out;
}

class Lexer {
 public:
  explicit Lexer(Syntax* syntax) : syntax_(syntax), source_(syntax->source) {}

  Result<std::vector<Token>> Run() {
    while (at_ < source_.size()) GRAFT_RETURN_IF_ERROR(ReadTextAndTag());
    Add(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  Status Fail(const char* what) const {
    return Error(StatusCode::kCorrupt, "line %u: %s", line_, what);
  }

  void Add(TokenKind kind, std::string_view text) {
    Token token;
    token.kind = kind;
    token.line = line_;
    token.text = text;
    tokens_.push_back(token);
  }

  void MoveTo(size_t at) {
    line_ += static_cast<uint32_t>(std::count(source_.begin() + static_cast<ptrdiff_t>(at_),
                                              source_.begin() + static_cast<ptrdiff_t>(at), '\n'));
    at_ = at;
  }

  /// Where the next tag starts; the end if there is none.
  size_t FindTag() const {
    for (size_t at = at_; (at = source_.find('{', at)) != std::string_view::npos; ++at) {
      if (at + 1 == source_.size()) break;
      const char c = source_[at + 1];
      if (c == '{' || c == '%' || c == '#') return at;
    }
    return source_.size();
  }

  /// Adds the text before a tag, shortened at its end as the tag asks. sign: what stands behind the
  /// tag's start.
  void AddText(size_t tag, char kind, char sign) {
    std::string_view text = source_.substr(at_, tag - at_);
    if (sign == '-') {
      while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
    } else if (sign != '+' && kind != '{' && kind != 0) {
      const size_t line = text.rfind('\n') + 1;  // 0 if there is none
      const std::string_view indent = text.substr(line);
      if ((line > 0 || starts_line_) && std::all_of(indent.begin(), indent.end(), IsSpace)) {
        text.remove_suffix(indent.size());
      }
    }
    if (!text.empty()) Add(TokenKind::kText, text);
  }

  /// Skips what a tag's end takes along: `close` is the tag's end, `sign` what stands before it.
  void CloseTag(size_t close, char sign, bool takes_line_end) {
    size_t end = close + 2;
    if (sign == '-') {
      while (end < source_.size() && IsSpace(source_[end])) ++end;
    } else if (sign != '+' && takes_line_end && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    MoveTo(end);
    starts_line_ = end > 0 && source_[end - 1] == '\n';
  }

  Status ReadTextAndTag() {
    const size_t tag = FindTag();
    if (tag == source_.size()) {
      AddText(tag, 0, 0);
      MoveTo(tag);
      return OkStatus();
    }
    const char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    AddText(tag, kind, sign);
    MoveTo(tag);
    const size_t inside = tag + 2 + (sign != '\0');
    if (kind == '#') return SkipComment(inside);
    if (kind == '%') {
      size_t body = 0;
      if (const size_t word = FindRaw(inside, "raw", &body); word != 0) return ReadRaw(body);
    }
    Add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, {});
    MoveTo(inside);
    return ReadInside(kind == '{');
  }

  Status SkipComment(size_t inside) {
    const size_t close = source_.find("#}", inside);
    if (close == std::string_view::npos) return Fail("a comment does not end");
    const char sign = close > inside ? source_[close - 1] : '\0';
    CloseTag(close, sign, true);
    return OkStatus();
  }

  /// Whether the tag whose inside starts at `at` is {% word %}; *body receives the end of the tag.
  /// Returns where its closing signs start, or 0.
  size_t FindRaw(size_t at, std::string_view word, size_t* body) const {
    while (at < source_.size() && IsSpace(source_[at])) ++at;
    if (!source_.substr(at).starts_with(word)) return 0;
    at += word.size();
    while (at < source_.size() && IsSpace(source_[at])) ++at;
    const size_t signs = at;
    if (at < source_.size() && (source_[at] == '-' || source_[at] == '+')) ++at;
    if (!source_.substr(at).starts_with("%}")) return 0;
    *body = at;
    return signs;
  }

  Status ReadRaw(size_t close) {
    CloseTag(close, source_[close - 1] == '-' ? '-' : '+', false);
    for (size_t tag = at_; (tag = source_.find("{%", tag)) != std::string_view::npos; tag += 2) {
      char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (sign != '-' && sign != '+') sign = '\0';
      size_t end = 0;
      if (FindRaw(tag + 2 + (sign != '\0'), "endraw", &end) == 0) continue;
      AddText(tag, '%', sign);
      CloseTag(end, source_[end - 1], true);
      return OkStatus();
    }
    return Fail("raw does not end");
  }

  /// Tokens up to the tag's end.
  Status ReadInside(bool is_output) {
    const std::string_view close = is_output ? "}}" : "%}";
    std::string brackets;
    for (;;) {
      size_t at = at_;
      while (at < source_.size() && IsSpace(source_[at])) ++at;
      MoveTo(at);
      if (at_ == source_.size()) return Fail("a tag does not end");
      const std::string_view rest = source_.substr(at_);
      const bool has_sign = rest[0] == '-' || (rest[0] == '+' && !is_output);
      if (brackets.empty() && rest.substr(has_sign).starts_with(close)) {
        const char sign = has_sign ? rest[0] : '\0';
        Add(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, {});
        CloseTag(at_ + has_sign, sign, !is_output);
        return OkStatus();
      }
      GRAFT_RETURN_IF_ERROR(ReadToken(&brackets));
    }
  }

  Status ReadToken(std::string* brackets) {
    const char c = source_[at_];
    if (IsDigit(c)) return ReadNumber();
    if (c == '"' || c == '\'') return ReadString(c);
    if (IsNameStart(c)) {
      size_t end = at_;
      while (end < source_.size() && (IsNameStart(source_[end]) || IsDigit(source_[end]))) ++end;
      if (end - at_ > kMaxNameBytes) return Fail("a name is too long");
      Add(TokenKind::kName, source_.substr(at_, end - at_));
      MoveTo(end);
      return OkStatus();
    }
    constexpr std::array<std::string_view, 26> kOperators = {
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<",
        ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ",", ".", ":", "|", ";"};
    for (const std::string_view name : kOperators) {
      if (!source_.substr(at_).starts_with(name)) continue;
      if (c == '(' || c == '[' || c == '{') *brackets += c;
      if (c == ')' || c == ']' || c == '}') {
        const char open = c == ')' ? '(' : c == ']' ? '[' : '{';
        if (!brackets->ends_with(open)) return Fail("a bracket closes that was not opened");
        brackets->pop_back();
      }
      Add(TokenKind::kOperator, source_.substr(at_, name.size()));
      MoveTo(at_ + name.size());
      return OkStatus();
    }
    return Fail("a character that does not belong into a tag");
  }

  Status ReadString(char quote) {
    size_t end = at_ + 1;
    bool has_escape = false;
    for (; end < source_.size() && source_[end] != quote; ++end) {
      if (source_[end] == '\\') {
        has_escape = true;
        ++end;
      }
    }
    if (end >= source_.size()) return Fail("a string does not end");
    std::string_view text = source_.substr(at_ + 1, end - at_ - 1);
    if (has_escape) text = syntax_->strings.emplace_back(Unescape(text));
    Add(TokenKind::kString, text);
    MoveTo(end + 1);
    return OkStatus();
  }

  Status ReadNumber() {
    size_t end = at_;
    std::string digits;
    const auto read_digits = [&] {
      for (; end < source_.size() && (IsDigit(source_[end]) || source_[end] == '_'); ++end) {
        if (source_[end] != '_') digits += source_[end];
      }
    };
    const auto digit_at = [&](size_t at) { return at < source_.size() && IsDigit(source_[at]); };
    read_digits();
    bool is_float = false;
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      digits += source_[end++];
      read_digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const size_t sign =
          end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        is_float = true;
        digits.append(source_.substr(end, 1 + sign));
        end += 1 + sign;
        read_digits();
      }
    }
    if (digits.size() > 18 && !is_float) return Fail("a number of more than 18 digits");
    if (digits.size() > 64) return Fail("a number of more than 64 digits");
    Add(is_float ? TokenKind::kFloat : TokenKind::kInteger, source_.substr(at_, end - at_));
    tokens_.back().int_value = is_float ? 0 : std::strtoll(digits.c_str(), nullptr, 10);
    tokens_.back().float_value = std::strtod(digits.c_str(), nullptr);
    MoveTo(end);
    return OkStatus();
  }

  Syntax* syntax_;
  const std::string_view source_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  bool starts_line_ = true;
};

}  // namespace

Result<std::vector<Token>> ReadTokens(Syntax* syntax) {
  NormalizeLines(&syntax->source);
  return Lexer(syntax).Run();
}

}  // namespace graft::runtime::chat
