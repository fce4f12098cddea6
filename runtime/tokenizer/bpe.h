// SPDX-License-Identifier: Apache-2.0
// BytePairEncoder: turns one piece of text into tokens by joining neighbours in the order of rank.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/hash_tables.h"
#include "runtime/tokenizer/pattern.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// What encoding needs to itself. Belongs to one thread and one encoder at a time.
class BpeScratch {
 private:
  friend class BytePairEncoder;

  struct Node {
    uint32_t id;
    uint32_t rank;  // of the merge with the next symbol
    int32_t previous;
    int32_t next;
  };

  std::vector<uint32_t> symbols_;
  std::vector<uint32_t> ranks_;
  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;
};

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
class BytePairEncoder {
 public:
  /// Errors   kCorrupt: tables made to collide.
  static Result<BytePairEncoder> Create(const schema::fb::Tokenizer& tables);

  /// Appends the ids of `piece`, which is valid UTF-8 and not empty.
  /// Cost     n log n in the piece's symbols.
  /// Errors   PatternScratch::why.
  Status Encode(std::string_view piece, PatternScratch& budget, BpeScratch& scratch,
                std::vector<int32_t>* ids) const;

 private:
  BytePairEncoder(const schema::fb::Tokenizer& tables);
  void ReadSymbols(std::string_view piece, BpeScratch& scratch) const;
  void MergeFew(BpeScratch& scratch) const;
  Status MergeMany(PatternScratch& budget, BpeScratch& scratch) const;

  const schema::fb::Tokenizer* tables_;
  const uint32_t* merge_results_;
  TokenTable tokens_;  // single characters; all tokens if pieces are looked up whole
  MergeTable merges_;
  std::array<uint32_t, 256> byte_ids_;  // of symbols that are bytes, or of <0x00> to <0xFF>
  bool falls_back_to_bytes_ = false;
};

}  // namespace graft::runtime
