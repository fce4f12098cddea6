// SPDX-License-Identifier: Apache-2.0
// The classes of characters that Oniguruma's expressions name, as PCRE2 writes them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace graft::converter {

/// What Oniguruma's \w also holds outside of classes: six numbers of Latin-1.
inline constexpr std::string_view kMoreWord = R"(\xB2\xB3\xB9\xBC-\xBE)";

/// Oniguruma's POSIX class of that name, as members of a PCRE2 class; empty if there is none.
std::string_view PosixMembers(std::string_view name);

/// The general category of that long name, in small letters without spaces, as \p takes it; after
/// "^" if it is the complement. Empty if there is none.
std::string_view GeneralCategory(std::string_view name);

/// A set of characters: members of one PCRE2 class, and whole expressions for what no class holds.
struct CharacterSet {
  std::string members;
  std::vector<std::string> expressions;

  /// An expression that matches one character of the set (or, negated, one outside of it).
  std::string Expression(bool negated) const;

  /// Adds the members of a class, or their complement.
  void Add(std::string_view class_members, bool negated);
};

}  // namespace graft::converter
