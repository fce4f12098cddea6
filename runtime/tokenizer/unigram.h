// SPDX-License-Identifier: Apache-2.0
// UnigramEncoder: cuts a piece of text into the tokens whose scores add up to the most.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/pattern.h"
#include "runtime/tokenizer/token_order.h"
#include "schema/status.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// What encoding needs to itself. Belongs to one thread at a time.
class UnigramScratch {
 private:
  friend class UnigramEncoder;
  /// The best way to a place in the piece: its score, and the last token on it.
  struct Way {
    double score;
    uint32_t start;  // where that token starts; kNotFound: there is no way
    uint32_t id;
  };
  std::vector<Way> ways_;      // by place
  std::vector<uint32_t> cut_;  // starts of tokens, last one first
};

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
/// Source   the best segmentation of a unigram language model (Kudo 2018), by Viterbi's algorithm
///          with Hugging Face's penalty for what is unknown and its order of ties.
class UnigramEncoder {
 public:
  explicit UnigramEncoder(const schema::fb::Tokenizer& tables);

  /// Appends the ids of `piece`, which is valid UTF-8 and not empty.
  /// Cost     the piece's length times the longest token's at most; 16 bytes of memory for each of
  ///          the piece's.
  /// Errors   kOutOfRange: a piece of more than 16 MiB.
  ///          kFailedPrecondition: a character that is no token, and the tokenizer has none for the
  ///          unknown; PatternScratch::why.
  Status Encode(std::string_view piece, PatternScratch& budget, UnigramScratch& scratch,
                std::vector<int32_t>* ids) const;

 private:
  Status FindWays(std::string_view piece, PatternScratch& budget, UnigramScratch& scratch) const;
  Status AppendToken(std::string_view text, std::vector<int32_t>* ids) const;

  TokenOrder tokens_;
  const double* scores_;
  double unknown_score_ = 0;
  int32_t unknown_id_;
  bool fuses_unknown_;
  bool falls_back_to_bytes_;
  std::array<uint32_t, 256> byte_ids_;  // of the tokens <0x00> to <0xFF>
};

}  // namespace graft::runtime
