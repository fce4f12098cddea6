// SPDX-License-Identifier: Apache-2.0
// Members of a description that people write by hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "converter/json/json.h"

namespace graft::converter {

/// "a, b, c".
std::string Listed(const std::vector<std::string_view>& names);

/// Errors   kCorrupt: a member of `object` that is not among `known`: misspelt, it would otherwise
///          be a model that silently lacks something.
Status CheckMembers(const JsonValue& object, const std::vector<std::string_view>& known);

template <typename T>
struct Word {
  std::string_view name;
  T value;
};

/// What the word of member `key` stands for; the first of them if there is no such member.
/// Errors   kCorrupt: not a string;
///          kUnsupported: another word.
template <typename T, size_t kWords>
Result<T> ReadWord(const JsonValue& object, std::string_view key, const Word<T> (&words)[kWords]) {
  GRAFT_ASSIGN_OR_RETURN(const std::string given, object.GetString(key, words[0].name));
  std::vector<std::string_view> known;
  for (const Word<T>& word : words) {
    if (given == word.name) return word.value;
    known.push_back(word.name);
  }
  return object.Find(key).Fail("is \"" + given + "\"; this version knows " + Listed(known),
                               StatusCode::kUnsupported);
}

}  // namespace graft::converter
