// SPDX-License-Identifier: Apache-2.0
// PreTokenizer: cuts a text into the pieces that are turned into tokens one by one.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/tokenizer/pattern.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct PreTokenizerStep;
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Receives pieces in their order.
class PieceSink {
 public:
  virtual Status Piece(std::string_view piece) = 0;

 protected:
  ~PieceSink() = default;
};

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
class PreTokenizer {
 public:
  static Result<PreTokenizer> Create(const schema::fb::Tokenizer& tables);

  /// Hands the pieces of `text`, none of them empty, to `sink`. is_start: `text` starts where the
  /// whole text does.
  /// Errors   those of Pattern::Find, of PatternScratch::Pay and of the sink.
  Status Cut(std::string_view text, bool is_start, PatternScratch& scratch, PieceSink& sink) const;

 private:
  struct Step {
    const schema::fb::PreTokenizerStep* table = nullptr;
    std::vector<Pattern> pattern;  // one for what splits, else none
  };
  class SpanMerger;

  /// Pays for so many bytes more that come to `step` and all after it.
  bool PayFrom(size_t step, size_t bytes, PatternScratch& scratch) const;
  Status Run(size_t step, std::string_view piece, bool is_start, PatternScratch& scratch,
             PieceSink& sink) const;
  Status RunSplit(size_t step, std::string_view piece, bool is_start, PatternScratch& scratch,
                  PieceSink& sink) const;
  Status RunMetaspace(size_t step, std::string_view piece, bool is_start, PatternScratch& scratch,
                      PieceSink& sink) const;

  Status RunBertWords(size_t step, std::string_view piece, bool is_start, PatternScratch& scratch,
                      PieceSink& sink) const;

  std::vector<Step> steps_;
};

}  // namespace graft::runtime
