// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/regex_class.h"

#include <algorithm>
#include <string>

#include "runtime/base/utf8.h"
#include "runtime/constrain/expressions.h"

namespace graft::runtime {
namespace {

constexpr uint32_t kClass = UINT32_MAX;  // more than one character

void AddSpaces(CharacterSet* set) {
  set->Add('\t', '\r');
  for (const uint32_t code :
       {0x20u, 0xA0u, 0x1680u, 0x2028u, 0x2029u, 0x202Fu, 0x205Fu, 0x3000u, 0xFEFFu}) {
    set->Add(code, code);
  }
  set->Add(0x2000, 0x200A);
}

void AddWordCharacters(CharacterSet* set) {
  set->Add('a', 'z');
  set->Add('A', 'Z');
  set->Add('0', '9');
  set->Add('_', '_');
}

}  // namespace

Status RegexReader::Invalid(const char* what) const {
  return Error(StatusCode::kInvalidArgument, "not a regular expression: %s at byte %zu", what, at_);
}

Status RegexReader::Unsupported(const char* what) const {
  return Error(StatusCode::kUnsupported, "the regular expression has %s at byte %zu", what, at_);
}

bool RegexReader::Take(std::string_view what) {
  if (text_.substr(std::min(at_, text_.size()), what.size()) != what) return false;
  at_ += what.size();
  return true;
}

Result<bool> RegexReader::TakeCounts(uint32_t* min, uint32_t* max) {
  const size_t end = text_.find('}', at_);
  if (AtEnd() || Peek() != '{' || end == std::string_view::npos || end - at_ > 24) return false;
  const std::string_view inner = text_.substr(at_ + 1, end - at_ - 1);
  const size_t comma = inner.find(',');
  const auto read = [](std::string_view digits, uint64_t* value) {
    *value = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9') return false;
      *value = *value * 10 + static_cast<uint64_t>(c - '0');
    }
    return !digits.empty() && digits.size() <= 12;
  };
  uint64_t low = 0;
  uint64_t high = kUnbounded;
  if (!read(inner.substr(0, comma), &low)) return false;
  if (comma == std::string_view::npos) {
    high = low;
  } else if (comma + 1 < inner.size() && !read(inner.substr(comma + 1), &high)) {
    return false;
  }
  if (low > high) return Invalid("a count's limits are in the wrong order");
  if (low >= kUnbounded || (high >= kUnbounded && comma + 1 < inner.size())) {
    return Invalid("a count exceeds 4294967294");
  }
  *min = static_cast<uint32_t>(low);
  *max = static_cast<uint32_t>(high);
  at_ = end + 1;
  return true;
}

// The byte behind the group that starts here; npos if it does not end.
size_t RegexReader::EndOfGroup() const {
  size_t depth = 0;
  bool in_class = false;
  for (size_t i = at_; i < text_.size(); ++i) {
    const char c = text_[i];
    if (c == '\\') {
      ++i;
    } else if (in_class) {
      in_class = c != ']';
    } else if (c == '[') {
      in_class = true;
    } else if (c == '(') {
      ++depth;
    } else if (c == ')' && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

std::string_view RegexReader::OnlyGroup() const {
  if (AtEnd() || Peek() != '(') return {};
  std::string_view opening = "(";
  if (text_.substr(at_, 3) == "(?:") {
    opening = "(?:";
  } else if (text_.substr(at_, 2) == "(?") {
    return {};
  }
  size_t end = EndOfGroup();
  if (end == std::string_view::npos) return {};
  while (end < text_.size() && text_[end] == '$') ++end;
  return end == text_.size() || text_[end] == '|' || text_[end] == ')' ? opening
                                                                       : std::string_view();
}

bool RegexReader::GroupEndsLine(std::string_view group) const {
  const size_t end = EndOfGroup();
  return end < text_.size() && text_[end] == '$';
}

Status RegexReader::ReadCharacters(CharacterSet* set) {
  const char c = Peek();
  if (c == '[') return ReadClass(set);
  if (c == '.') {
    CharacterSet ends;
    for (const uint32_t code : {0x0Au, 0x0Du, 0x2028u, 0x2029u}) ends.Add(code, code);
    set->Add(ends.Complement());
    ++at_;
    return OkStatus();
  }
  if (c == '*' || c == '+' || c == '?') return Invalid("a quantifier follows nothing");
  if (c == '^' || c == '$') return Unsupported("an anchor within the pattern");
  uint32_t code = 0;
  if (c == '\\') {
    GRAFT_RETURN_IF_ERROR(ReadEscape(/*in_class=*/false, set, &code));
  } else {
    const Utf8Char character = ReadUtf8(text_, at_);
    at_ += character.length;
    code = character.code;
  }
  if (code != kClass) set->Add(code, code);
  return OkStatus();
}

Status RegexReader::ReadClass(CharacterSet* set) {
  ++at_;
  const bool is_complement = Take("^");
  CharacterSet inner;
  while (!Take("]")) {
    if (AtEnd()) return Invalid("a class does not end");
    uint32_t low = 0;
    GRAFT_RETURN_IF_ERROR(ReadClassItem(&inner, &low));
    uint32_t high = low;
    const bool is_range = at_ + 1 < text_.size() && Peek() == '-' && text_[at_ + 1] != ']';
    if (low != kClass && is_range) {
      const size_t dash = at_++;
      GRAFT_RETURN_IF_ERROR(ReadClassItem(&inner, &high));
      if (high == kClass) {  // [a-\d] is three things
        high = low;
        inner.Add('-', '-');
      } else if (low > high) {
        at_ = dash;
        return Invalid("a range is in the wrong order");
      }
    }
    if (low != kClass) inner.Add(low, high);
  }
  set->Add(is_complement ? inner.Complement() : inner);
  return OkStatus();
}

Status RegexReader::ReadClassItem(CharacterSet* set, uint32_t* code) {
  if (AtEnd()) return Invalid("a class does not end");
  if (Peek() == '\\') return ReadEscape(/*in_class=*/true, set, code);
  const Utf8Char character = ReadUtf8(text_, at_);
  at_ += character.length;
  *code = character.code;
  return OkStatus();
}

Status RegexReader::ReadCode(size_t digits, uint32_t* code) {
  *code = 0;
  for (size_t i = 0; i < digits; ++i, ++at_) {
    const char c = AtEnd() ? '\0' : Peek();
    const int digit = c >= '0' && c <= '9'                     ? c - '0'
                      : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                               : -1;
    if (digit < 0) return Invalid("an escape lacks digits");
    *code = *code * 16 + static_cast<uint32_t>(digit);
  }
  return OkStatus();
}

Status RegexReader::ReadUnicode(uint32_t* code) {
  if (Take("{")) {
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos || end == at_ || end - at_ > 6) {
      return Invalid("an escape lacks digits");
    }
    GRAFT_RETURN_IF_ERROR(ReadCode(end - at_, code));
    ++at_;
    return OkStatus();
  }
  GRAFT_RETURN_IF_ERROR(ReadCode(4, code));
  if (*code >= 0xD800 && *code < 0xDC00 && Take("\\u")) {
    uint32_t low = 0;
    GRAFT_RETURN_IF_ERROR(ReadCode(4, &low));
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low & 0x3FF);
  }
  return OkStatus();
}

Status RegexReader::ReadEscape(bool in_class, CharacterSet* set, uint32_t* code) {
  ++at_;
  if (AtEnd()) return Invalid("a backslash stands at the end");
  const Utf8Char character = ReadUtf8(text_, at_);
  at_ += character.length;
  *code = character.code;
  constexpr std::string_view kLetters = "nrtfv0";
  constexpr std::string_view kMeanings("\n\r\t\f\v\0", 6);
  const size_t letter =
      character.code < 0x80 ? kLetters.find(static_cast<char>(character.code)) : kLetters.npos;
  if (letter != kLetters.npos) {
    *code = static_cast<unsigned char>(kMeanings[letter]);
    return OkStatus();
  }
  CharacterSet named;
  switch (character.code) {
    case 'd':
    case 'D':
      named.Add('0', '9');
      break;
    case 'w':
    case 'W':
      AddWordCharacters(&named);
      break;
    case 's':
    case 'S':
      AddSpaces(&named);
      break;
    case 'x':
      return ReadCode(2, code);
    case 'u':
      return ReadUnicode(code);
    case 'b':
      if (!in_class) return Unsupported("a word boundary");
      *code = '\b';
      return OkStatus();
    case 'B':
      return Unsupported("a word boundary");
    case 'p':
    case 'P':
      return Unsupported("a class of Unicode");
    case 'k':
      return Unsupported("a reference to a group");
    default:
      if (character.code >= '1' && character.code <= '9') {
        return Unsupported("a reference to a group");
      }
      if ((character.code | 0x20) >= 'a' && (character.code | 0x20) <= 'z') {
        return Unsupported("an escape that is not known");
      }
      return OkStatus();
  }
  const bool is_complement = character.code < 'a';
  set->Add(is_complement ? named.Complement() : named);
  *code = kClass;
  return OkStatus();
}

}  // namespace graft::runtime
