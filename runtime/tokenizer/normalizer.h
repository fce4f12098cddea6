// SPDX-License-Identifier: Apache-2.0
// Normalizer: the rewriting of text that comes before it is cut into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/charsmap.h"
#include "runtime/tokenizer/pattern.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct NormalizerStep;
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
class Normalizer {
 public:
  static Result<Normalizer> Create(const schema::fb::Tokenizer& tables);

  bool empty() const { return steps_.empty(); }

  /// Rewrites *text, which is valid UTF-8 and stays so. *lost_start is set if characters went from
  /// its start.
  /// Errors   kCorrupt: a text that grows more than 32 times, and beyond 16 KiB; a pattern that
  ///          backtracks beyond all bounds; PatternScratch::why.
  Status Apply(std::string* text, PatternScratch& scratch, bool* lost_start) const;

 private:
  struct Step {
    const schema::fb::NormalizerStep* table = nullptr;
    std::vector<Pattern> pattern;    // one for Replace, else none
    std::vector<Charsmap> charsmap;  // one for Charsmap, else none
  };

  std::vector<Step> steps_;
};

/// Appends to *out `text` with every match of `pattern`, from left to right, replaced by `content`.
/// *lost_start, if not null, is set if the first character went with others, or for nothing.
/// Errors   kCorrupt: more than `max_bytes` in *out; those of Pattern::Find.
Status ReplaceMatches(std::string_view text, const Pattern& pattern, std::string_view content,
                      PatternScratch& scratch, size_t max_bytes, std::string* out,
                      bool* lost_start = nullptr);

/// What rewriting `bytes` bytes of text may give.
size_t MaxRewrittenBytes(size_t bytes);

}  // namespace graft::runtime
