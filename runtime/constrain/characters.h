// SPDX-License-Identifier: Apache-2.0
// Sets of characters, and expressions for them: as UTF-8, or as they stand in a JSON string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/flat_vector.h"
#include "runtime/constrain/expressions.h"

namespace graft::runtime {

/// `text` as a JSON string, quotes included: what must be escaped is, in one way only.
std::string QuoteJson(std::string_view text);

/// How characters are written. kJson: what must be escaped is, in one way only, so that equal
/// strings are equal bytes.
enum class Spelling : uint8_t { kText, kJson };

class CharacterSet {
 public:
  void Add(uint32_t low, uint32_t high) { ranges_.push_back({low, high}); }
  void Add(const CharacterSet& other) { ranges_.Append(other.ranges_); }
  /// In order, without overlaps, without surrogates.
  FlatVector<NumberPair> Sorted() const;
  CharacterSet Complement() const;
  /// Adds the other case of ASCII letters.
  void FoldCase();

 private:
  FlatVector<NumberPair> ranges_;
};

Expression MakeCharacter(ExpressionPool* pool, const CharacterSet& set, Spelling spelling);
/// `text`, which is UTF-8, so spelled.
Expression MakeText(ExpressionPool* pool, std::string_view text, Spelling spelling);
/// Any character that a JSON string may hold, escaped in any way that JSON knows.
Expression MakeAnyJsonCharacter(ExpressionPool* pool);
/// Any character so spelled.
Expression MakeAnyCharacter(ExpressionPool* pool, Spelling spelling);

}  // namespace graft::runtime
