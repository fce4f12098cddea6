// SPDX-License-Identifier: Apache-2.0
// WordPieceEncoder: cuts a word into the longest tokens it starts with, one after another.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/pattern.h"
#include "runtime/tokenizer/token_order.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
/// Source   the greedy rule of BERT's tokenizer (Devlin et al. 2018).
class WordPieceEncoder {
 public:
  explicit WordPieceEncoder(const schema::fb::Tokenizer& tables);

  /// Appends the ids of `word`, which is valid UTF-8 and not empty.
  /// Cost     the word's length times the longest token's at most.
  /// Returns  false: it costs more than the text may; budget.why() tells.
  [[nodiscard]] bool Encode(std::string_view word, PatternScratch& budget,
                            std::vector<int32_t>* ids) const;

 private:
  TokenOrder tokens_;  // its favourite: what stands before tokens that go on a word
  int32_t unknown_id_;
  uint32_t max_word_characters_;
};

}  // namespace graft::runtime
