// SPDX-License-Identifier: Apache-2.0
// The tables of names, and sets put together from their entries.
#include "converter/tokenizer/regex_classes.h"

#include <array>
#include <utility>

namespace graft::converter {
namespace {

using Named = std::pair<std::string_view, std::string_view>;

// Oniguruma's POSIX classes, as members of a PCRE2 class. What they hold was read off
// Oniguruma 6.9.
constexpr auto kClasses = std::to_array<Named>({
    {"alnum", R"(\p{Alphabetic}\p{Nd})"},
    {"alpha", R"(\p{Alphabetic})"},
    {"ascii", R"(\x00-\x7F)"},
    {"blank", R"(\p{Zs}\t)"},
    {"cntrl", R"(\p{Cc})"},
    {"digit", R"(\p{Nd})"},
    {"lower", R"(\p{Lowercase})"},
    {"punct", R"(\p{P}\p{S})"},
    {"space", R"(\p{wspace})"},
    {"upper", R"(\p{Uppercase})"},
    {"word", R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})"},
    {"xdigit", "0-9A-Fa-f"},
});

constexpr auto kCategories = std::to_array<Named>({
    {"letter", "L"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"surrogate", "Cs"},
    {"privateuse", "Co"},
    {"unassigned", "Cn"},
    {"assigned", "^Cn"},
});

template <size_t kCount>
std::string_view Look(const std::array<Named, kCount>& table, std::string_view name) {
  for (const auto& [key, value] : table) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

std::string_view PosixMembers(std::string_view name) { return Look(kClasses, name); }

std::string_view GeneralCategory(std::string_view name) { return Look(kCategories, name); }

std::string CharacterSet::Expression(bool negated) const {
  if (expressions.empty() && members.empty()) return negated ? "(?s:.)" : "(?!)";
  if (expressions.empty()) {
    // One property needs no class around it, and matches faster without.
    const bool is_property = members.starts_with("\\p{") || members.starts_with("\\P{");
    if (!negated && is_property && members.find('}') + 1 == members.size()) return members;
    return (negated ? "[^" : "[") + members + "]";
  }
  std::string any = "(?:";
  if (!members.empty()) any += "[" + members + "]";
  for (const std::string& expression : expressions) {
    if (any.size() > 3) any += '|';
    any += expression;
  }
  any += ')';
  return negated ? "(?:(?!" + any + ")(?s:.))" : any;
}

void CharacterSet::Add(std::string_view class_members, bool negated) {
  if (!negated) {
    members += class_members;
  } else {
    expressions.push_back("[^" + std::string(class_members) + "]");
  }
}

}  // namespace graft::converter
