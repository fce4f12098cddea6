// SPDX-License-Identifier: Apache-2.0
// What Python's strings do, on UTF-8, for methods and filters alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft::runtime::chat {

/// Characters in ascending order of their codes, each once.
using CharacterSet = std::vector<uint32_t>;
CharacterSet CharactersOf(std::string_view text);

/// Without the characters of `set` at its ends; a null set: without white space.
std::string_view Strip(std::string_view text, const CharacterSet* set, bool left, bool right);
/// As many whole characters from the start of `text` as fit into `bytes` bytes.
std::string_view FirstBytes(std::string_view text, size_t bytes);

enum class LetterCase : uint8_t { kUpper, kLower };
std::string ChangeCase(std::string_view text, LetterCase to);
/// The first character in upper case, the rest in lower case.
std::string Capitalize(std::string_view text);
/// Every word capitalized; a word ends before anything that is no letter (str.title), or before
/// white space, dashes and opening brackets only (Jinja's filter).
std::string Title(std::string_view text, bool like_filter);

size_t CountCharacters(std::string_view text);
bool IsSpaceInPython(uint32_t code);

/// Whether the text is not empty and all its characters are of the kind.
bool AllDigits(std::string_view text);
bool AllLetters(std::string_view text);
bool AllSpaces(std::string_view text);

}  // namespace graft::runtime::chat
