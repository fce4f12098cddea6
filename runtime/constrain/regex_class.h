// SPDX-License-Identifier: Apache-2.0
// RegexReader: a regular expression's text, and the smallest things in it: characters, classes,
// counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/constrain/characters.h"
#include "schema/result.h"

namespace graft::runtime {

class RegexReader {
 public:
  /// Requires UTF-8.
  explicit RegexReader(std::string_view text) : text_(text) {}

  bool AtEnd() const { return at_ >= text_.size(); }
  char Peek() const { return text_[at_]; }  ///< requires !AtEnd()
  void Skip(size_t bytes) { at_ += bytes; }
  /// Passes `what` if it stands here.
  bool Take(std::string_view what);
  template <size_t N>
  [[gnu::always_inline]] bool Take(const char (&what)[N]) {
    return Take(std::string_view(what, __builtin_strlen(what)));
  }
  /// Passes "{2}", "{2,}" or "{2,5}"; false if no count stands here.
  Result<bool> TakeCounts(uint32_t* min, uint32_t* max);
  /// Passes a dot, a class, an escape or a character.
  Status ReadCharacters(CharacterSet* set);
  /// "(" or "(?:" if a group starts here that is all of its alternative but for a '$'; else empty.
  std::string_view OnlyGroup() const;
  /// Whether a '$' follows that group.
  bool GroupEndsLine(std::string_view group) const;

  Status Invalid(const char* what) const;
  Status Unsupported(const char* what) const;

 private:
  size_t EndOfGroup() const;
  Status ReadClass(CharacterSet* set);
  Status ReadClassItem(CharacterSet* set, uint32_t* code);
  /// *code receives the one character; kClass if it is a class.
  Status ReadEscape(bool in_class, CharacterSet* set, uint32_t* code);
  Status ReadCode(size_t digits, uint32_t* code);
  Status ReadUnicode(uint32_t* code);

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace graft::runtime
