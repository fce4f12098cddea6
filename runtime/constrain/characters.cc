// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/characters.h"

#include <algorithm>
#include <string>

#include "runtime/base/utf8.h"
#include "runtime/constrain/regex.h"

namespace graft::runtime {
namespace {

constexpr uint32_t kLastCharacter = 0x10FFFF;

Expression Range(ExpressionPool* pool, uint8_t low, uint8_t high) {
  ByteSet set;
  set.AddRange(low, high);
  return pool->Bytes(set);
}

/// Characters from `low` to `high`, whose UTF-8 has `count` bytes each.
Expression Utf8Range(ExpressionPool* pool, const std::string& low, const std::string& high,
                     size_t at) {
  const auto first = static_cast<uint8_t>(low[at]);
  const auto last = static_cast<uint8_t>(high[at]);
  const size_t left = low.size() - at - 1;
  if (left == 0) return Range(pool, first, last);
  if (first == last) {
    return pool->Concat(Range(pool, first, first), Utf8Range(pool, low, high, at + 1));
  }
  const std::string lowest(low.size(), '\x80');
  const std::string highest(low.size(), '\xBF');
  FlatVector<Expression> ways;
  uint8_t from = first;
  uint8_t to = last;
  if (low.substr(at + 1) != lowest.substr(at + 1)) {
    ways.push_back(pool->Concat(Range(pool, first, first), Utf8Range(pool, low, highest, at + 1)));
    ++from;
  }
  if (high.substr(at + 1) != highest.substr(at + 1)) {
    ways.push_back(pool->Concat(Range(pool, last, last), Utf8Range(pool, lowest, high, at + 1)));
    --to;
  }
  if (from <= to) {
    ways.push_back(pool->Concat(Range(pool, from, to), Utf8Range(pool, lowest, highest, at + 1)));
  }
  return pool->Or(ways);
}

void AddUtf8(ExpressionPool* pool, uint32_t low, uint32_t high, FlatVector<Expression>* ways) {
  constexpr uint32_t kLastOfLength[] = {0x7F, 0x7FF, 0xFFFF, kLastCharacter};
  for (const uint32_t last : kLastOfLength) {
    if (low > last) continue;
    const uint32_t end = std::min(high, last);
    std::string first_bytes;
    std::string last_bytes;
    AppendUtf8(low, &first_bytes);
    AppendUtf8(end, &last_bytes);
    ways->push_back(Utf8Range(pool, first_bytes, last_bytes, 0));
    if (end == high) return;
    low = end + 1;
  }
}

}  // namespace

std::string QuoteJson(std::string_view text) {
  constexpr std::string_view kShort = "\"\\\b\f\n\r\t";
  constexpr std::string_view kLetters = "\"\\bfnrt";
  std::string quoted = "\"";
  for (const char c : text) {
    const size_t i = kShort.find(c);
    if (i != std::string_view::npos) {
      quoted.push_back('\\');
      quoted.push_back(kLetters[i]);
    } else if (static_cast<uint8_t>(c) < 0x20) {
      constexpr char kHex[] = "0123456789abcdef";
      quoted.append("\\u00").push_back(kHex[static_cast<uint8_t>(c) >> 4]);
      quoted.push_back(kHex[c & 15]);
    } else {
      quoted.push_back(c);
    }
  }
  quoted.push_back('"');
  return quoted;
}

FlatVector<NumberPair> CharacterSet::Sorted() const {
  FlatVector<NumberPair> sorted;
  for (auto [low, high] : ranges_) {
    high = std::min(high, kLastCharacter);
    if (low > high) continue;
    if (low < 0xD800) sorted.push_back({low, std::min<uint32_t>(high, 0xD7FF)});
    if (high > 0xDFFF) sorted.push_back({std::max<uint32_t>(low, 0xE000), high});
  }
  SortPairs(sorted.data(), sorted.size());
  size_t kept = 0;
  for (size_t i = 0; i < sorted.size(); ++i) {
    if (kept > 0 && sorted[i].first <= sorted[kept - 1].second + 1) {
      sorted[kept - 1].second = std::max(sorted[kept - 1].second, sorted[i].second);
    } else {
      sorted[kept++] = sorted[i];
    }
  }
  sorted.resize(kept);
  return sorted;
}

CharacterSet CharacterSet::Complement() const {
  CharacterSet result;
  uint32_t next = 0;
  for (const auto& [low, high] : Sorted()) {
    if (low > next) result.Add(next, low - 1);
    next = high + 1;
  }
  if (next <= kLastCharacter) result.Add(next, kLastCharacter);
  return result;
}

void CharacterSet::FoldCase() {
  const size_t count = ranges_.size();
  for (size_t i = 0; i < count; ++i) {
    const auto [low, high] = ranges_[i];
    for (uint32_t code = low; code <= std::min<uint32_t>(high, 'z'); ++code) {
      const uint32_t other = code ^ 0x20;
      const bool is_letter = (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
      if (is_letter) ranges_.push_back({other, other});
    }
  }
}

Expression MakeCharacter(ExpressionPool* pool, const CharacterSet& set, Spelling spelling) {
  FlatVector<Expression> ways;
  bool is_plain = false;
  for (auto [low, high] : set.Sorted()) {
    if (spelling == Spelling::kText) {
      AddUtf8(pool, low, high, &ways);
      continue;
    }
    is_plain = is_plain || (low <= 0x20 && high >= 0xD7FF);
    // Cut at what is escaped.
    for (uint32_t code = low; code <= std::min<uint32_t>(high, '\\'); ++code) {
      if (code >= 0x20 && code != '"' && code != '\\') continue;
      const std::string quoted = QuoteJson(std::string(1, static_cast<char>(code)));
      ways.push_back(pool->Literal(std::string_view(quoted).substr(1, quoted.size() - 2)));
    }
    const NumberPair raw[] = {{0x20, '"' - 1}, {'"' + 1, '\\' - 1}, {'\\' + 1, kLastCharacter}};
    for (const auto& [first, last] : raw) {
      const uint32_t from = std::max(low, first);
      const uint32_t to = std::min(high, last);
      if (from <= to) AddUtf8(pool, from, to, &ways);
    }
  }
  const auto alphabet = static_cast<unsigned>(spelling);
  for (const Expression way : ways) pool->NoteCharacter(way, alphabet);
  const Expression result = pool->Or(ways);
  if (is_plain && pool->Matches(result, "\xEE\x80\x80") &&
      pool->Matches(result, "\xF4\x8F\xBF\xBF")) {
    const auto sorted = set.Sorted();
    if (sorted.back().first == 0xE000) pool->NotePlainCharacter(result);
  }
  return result;
}

Expression MakeText(ExpressionPool* pool, std::string_view text, Spelling spelling) {
  if (spelling == Spelling::kText) return pool->Literal(text);
  const std::string quoted = QuoteJson(text);
  return pool->Literal(std::string_view(quoted).substr(1, quoted.size() - 2));
}

Expression MakeAnyCharacter(ExpressionPool* pool, Spelling spelling) {
  CharacterSet all;
  all.Add(0, kLastCharacter);
  const Expression any = MakeCharacter(pool, all, spelling);
  pool->NoteAll(pool->Repeat(any, 0), static_cast<unsigned>(spelling));
  return any;
}

Expression MakeAnyJsonCharacter(ExpressionPool* pool) {
  // Surrogates come in pairs.
  constexpr const char* kCharacter =
      R"([^"\\\x00-\x1F]|\\(?:["\\/bfnrt]|u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|)"
      R"([dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})))";
  const Expression result = *ParseRegex(pool, kCharacter, {Spelling::kText, /*is_anchored=*/true});
  pool->NotePlainCharacter(result);
  return result;
}

}  // namespace graft::runtime
