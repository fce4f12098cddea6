// SPDX-License-Identifier: Apache-2.0
// AddedTokens: strings that are one token wherever they stand in a text, found before all else.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/pattern.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct AddedToken;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Immutable once filled. Of the strings that start at one place the longest counts.
class AddedTokens {
 public:
  /// `content` is what to look for; it may differ from table.content() by normalization. Both must
  /// outlive this.
  void Add(std::string content, const schema::fb::AddedToken& table);
  /// Ends the adding.
  void Prepare();

  bool empty() const { return tokens_.empty(); }

  /// A stretch of text that is one token, with the white space it takes along.
  struct Found {
    size_t begin = 0;
    size_t end = 0;
    uint32_t id = 0;
    bool found = false;
  };
  /// Where a search stands: `from` is where to look on, `taken` the end of the stretch found last.
  struct Cursor {
    size_t from = 0;
    size_t taken = 0;
  };
  /// The next token in `text`, which is valid UTF-8.
  /// Errors   PatternScratch::why.
  Result<Found> Next(std::string_view text, PatternScratch& scratch, Cursor* cursor) const;

 private:
  struct Token {
    std::string content;
    const schema::fb::AddedToken* table = nullptr;
  };
  /// The longest token that text starts with at `at`; null if none.
  const Token* LongestAt(std::string_view text, size_t at) const;

  std::vector<Token> tokens_;  // in the order of their contents
  std::array<uint32_t, 257>
      by_lead_{};  // those that start with byte b are [by_lead_[b], by_lead_[b + 1])
};

}  // namespace graft::runtime
