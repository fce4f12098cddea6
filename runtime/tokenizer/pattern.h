// SPDX-License-Identifier: Apache-2.0
// Pattern: a literal or a regular expression from a file, searched for in bounded time and memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "schema/result.h"

struct pcre2_real_code_8;

namespace graft::runtime {

/// What a search needs to itself. Belongs to one thread at a time; serves any number of patterns.
class PatternScratch {
 public:
  PatternScratch();
  ~PatternScratch();
  PatternScratch(const PatternScratch&) = delete;
  PatternScratch& operator=(const PatternScratch&) = delete;

  /// Starts a text: how much searching in it may backtrack in all follows from its size.
  void Begin(size_t text_bytes);

 private:
  friend class Pattern;
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
  uint64_t slow_searches_left_ = 0;
};

struct PatternMatch {
  size_t begin = 0;
  size_t end = 0;
  bool found = false;
};

/// Immutable: any number of threads may search with it.
class Pattern {
 public:
  /// Errors   kCorrupt: not a regular expression, or too large a one; kOutOfMemory.
  static Result<Pattern> Compile(std::string_view pattern, bool is_regex);

  /// The first match in `subject` that starts at or after `from`; `subject` is all it can see.
  /// Requires valid UTF-8.
  /// Errors   kCorrupt: the search backtracks beyond all bounds; kOutOfMemory.
  Status Find(std::string_view subject, size_t from, PatternScratch& scratch,
              PatternMatch* match) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };

  Pattern() = default;
  Status FindRegex(std::string_view subject, size_t from, PatternScratch& scratch,
                   PatternMatch* match) const;

  std::string text_;
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;  // null for a literal
  bool has_machine_code_ = false;
};

}  // namespace graft::runtime
