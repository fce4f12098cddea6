// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "runtime/base/utf8.h"
#include "schema/generated/tokenizer_generated.h"
#include "schema/verify_tokenizer.h"

namespace graft::runtime {
namespace {

// Bytes of text that looking for tokens at one place may compare: those of the longest.
constexpr size_t kMostLookedAt = schema::kMaxAddedTokenBytes;

}  // namespace

void AddedTokens::Add(std::string content, const schema::fb::AddedToken& table) {
  if (!content.empty()) tokens_.push_back({std::move(content), &table});
}

void AddedTokens::Prepare() {
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Token& a, const Token& b) { return a.content < b.content; });
  by_lead_.fill(0);
  for (const Token& token : tokens_) ++by_lead_[static_cast<uint8_t>(token.content[0]) + 1];
  for (size_t i = 1; i < by_lead_.size(); ++i) by_lead_[i] += by_lead_[i - 1];
}

const AddedTokens::Token* AddedTokens::LongestAt(std::string_view text, size_t at) const {
  const auto lead = static_cast<uint8_t>(text[at]);
  auto low = tokens_.begin() + by_lead_[lead];
  auto high = tokens_.begin() + by_lead_[lead + 1];
  const Token* longest = nullptr;
  // [low, high) are the tokens that agree with the text in `length` bytes; the shortest comes
  // first.
  for (size_t length = 1; low != high; ++length) {
    // Of equal ones the last that was added counts.
    for (; low != high && low->content.size() == length; ++low) longest = &*low;
    if (at + length >= text.size()) break;
    const auto next = static_cast<uint8_t>(text[at + length]);
    low = std::partition_point(low, high, [&](const Token& token) {
      return static_cast<uint8_t>(token.content[length]) < next;
    });
    high = std::partition_point(low, high, [&](const Token& token) {
      return static_cast<uint8_t>(token.content[length]) == next;
    });
  }
  return longest;
}

Result<AddedTokens::Found> AddedTokens::Next(std::string_view text, PatternScratch& scratch,
                                             Cursor* cursor) const {
  while (cursor->from < text.size()) {
    const auto lead = static_cast<uint8_t>(text[cursor->from]);
    if (by_lead_[lead] == by_lead_[lead + 1]) {
      ++cursor->from;
      continue;
    }
    if (!scratch.PaySearch(kMostLookedAt)) return scratch.why();
    const Token* token = LongestAt(text, cursor->from);
    if (token == nullptr) {
      ++cursor->from;
      continue;
    }
    size_t begin = cursor->from;
    size_t end = begin + token->content.size();
    cursor->from = end;
    if (token->table->single_word()) {
      const bool joins_left = begin > 0 && IsWordCharacter(ReadUtf8Before(text, begin).code);
      const bool joins_right = end < text.size() && IsWordCharacter(ReadUtf8(text, end).code);
      if (joins_left || joins_right) continue;
    }
    if (token->table->strip_left()) {
      while (begin > cursor->taken) {
        const Utf8Char c = ReadUtf8Before(text, begin);
        if (!IsWhiteSpace(c.code)) break;
        begin -= c.length;
      }
      // White space that is a token itself may have gone to the token before it.
      begin = std::max(begin, cursor->taken);
      if (begin >= end) continue;
    }
    // What the token before it took along is white space, and need not be looked at again.
    if (token->table->strip_right()) end = std::max(end, cursor->taken);
    while (token->table->strip_right() && end < text.size()) {
      const Utf8Char c = ReadUtf8(text, end);
      if (!IsWhiteSpace(c.code)) break;
      end += c.length;
    }
    cursor->taken = end;
    return Found{begin, end, token->table->id(), true};
  }
  return Found{};
}

}  // namespace graft::runtime
