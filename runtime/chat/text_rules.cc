// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/text_rules.h"

#include <algorithm>

#include <utf8proc.h>

#include "runtime/base/utf8.h"

namespace graft::runtime::chat {
namespace {

void AppendCased(uint32_t code, LetterCase to, std::string* out) {
  const auto from = static_cast<utf8proc_int32_t>(code);
  if (to == LetterCase::kUpper && code == 0xDF) {  // the one common letter that becomes two
    out->append("SS");
    return;
  }
  AppendUtf8(static_cast<uint32_t>(to == LetterCase::kUpper ? utf8proc_toupper(from)
                                                            : utf8proc_tolower(from)),
             out);
}

bool IsLetter(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

template <typename IsKind>
bool All(std::string_view text, const IsKind& is_kind) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = ReadUtf8(text, at);
    if (!is_kind(c.code)) return false;
    at += c.length;
  }
  return !text.empty();
}

}  // namespace

bool IsSpaceInPython(uint32_t code) { return IsWhiteSpace(code) || (code >= 0x1C && code <= 0x1F); }

CharacterSet CharactersOf(std::string_view text) {
  CharacterSet codes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = ReadUtf8(text, at);
    codes.push_back(c.code);
    at += c.length;
  }
  std::sort(codes.begin(), codes.end());
  codes.erase(std::unique(codes.begin(), codes.end()), codes.end());
  return codes;
}

std::string_view FirstBytes(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

std::string_view Strip(std::string_view text, const CharacterSet* set, bool left, bool right) {
  const auto goes = [&](uint32_t code) {
    return set == nullptr ? IsSpaceInPython(code)
                          : std::binary_search(set->begin(), set->end(), code);
  };
  while (left && !text.empty()) {
    const Utf8Char c = ReadUtf8(text, 0);
    if (!goes(c.code)) break;
    text.remove_prefix(c.length);
  }
  while (right && !text.empty()) {
    const Utf8Char c = ReadUtf8Before(text, text.size());
    if (!goes(c.code)) break;
    text.remove_suffix(c.length);
  }
  return text;
}

std::string ChangeCase(std::string_view text, LetterCase to) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = ReadUtf8(text, at);
    AppendCased(c.code, to, &out);
    at += c.length;
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  if (text.empty()) return {};
  const size_t first = Utf8Length(text[0]);
  return ChangeCase(text.substr(0, first), LetterCase::kUpper) +
         ChangeCase(text.substr(first), LetterCase::kLower);
}

std::string Title(std::string_view text, bool like_filter) {
  std::string out;
  out.reserve(text.size());
  bool starts_word = true;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = ReadUtf8(text, at);
    AppendCased(c.code, starts_word ? LetterCase::kUpper : LetterCase::kLower, &out);
    starts_word = like_filter ? IsSpaceInPython(c.code) || c.code == '-' || c.code == '(' ||
                                    c.code == '{' || c.code == '[' || c.code == '<'
                              : !IsLetter(c.code);
    at += c.length;
  }
  return out;
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (size_t at = 0; at < text.size(); at += Utf8Length(text[at])) ++count;
  return count;
}

bool AllDigits(std::string_view text) {
  return All(text, [](uint32_t code) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(code)) == UTF8PROC_CATEGORY_ND;
  });
}

bool AllLetters(std::string_view text) { return All(text, IsLetter); }

bool AllSpaces(std::string_view text) { return All(text, IsSpaceInPython); }

}  // namespace graft::runtime::chat
