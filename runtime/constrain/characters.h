// SPDX-License-Identifier: Apache-2.0
// Sets of characters, and expressions for them: as UTF-8, or as they stand in a JSON string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/constrain/expressions.h"

namespace graft::runtime {

/// `text` as a JSON string, quotes included: what must be escaped is, in one way only.
std::string QuoteJson(std::string_view text);

/// How characters are written. kJson: what must be escaped is, in one way only, so that equal
/// strings are equal bytes.
enum class Spelling : uint8_t { kText, kJson };

class CharacterSet {
 public:
  void Add(uint32_t low, uint32_t high) { ranges_.emplace_back(low, high); }
  void Add(const CharacterSet& other) {
    ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  }
  /// In order, without overlaps, without surrogates.
  std::vector<std::pair<uint32_t, uint32_t>> Sorted() const;
  CharacterSet Complement() const;
  /// Adds the other case of ASCII letters.
  void FoldCase();

 private:
  std::vector<std::pair<uint32_t, uint32_t>> ranges_;
};

Expression MakeCharacter(ExpressionPool* pool, const CharacterSet& set, Spelling spelling);
/// `text`, which is UTF-8, so spelled.
Expression MakeText(ExpressionPool* pool, std::string_view text, Spelling spelling);
/// Any character that a JSON string may hold, escaped in any way that JSON knows.
Expression MakeAnyJsonCharacter(ExpressionPool* pool);
/// Any character so spelled.
Expression MakeAnyCharacter(ExpressionPool* pool, Spelling spelling);

}  // namespace graft::runtime
