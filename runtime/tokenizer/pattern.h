// SPDX-License-Identifier: Apache-2.0
// Pattern: a literal or a regular expression from a file, searched for in bounded time and memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "schema/result.h"

struct pcre2_real_code_8;

namespace graft::runtime {

/// What a search needs to itself, and what a text may cost in all. Belongs to one thread at a time;
/// serves any number of patterns.
///
/// A file's steps may copy a text again and again, and its patterns may read all of it for each
/// character in ways that PCRE2 does not count. So what is copied is counted, and the time that
/// searching takes is looked at: an honest tokenizer needs a hundredth of either.
class PatternScratch {
 public:
  PatternScratch();
  ~PatternScratch();
  PatternScratch(const PatternScratch&) = delete;
  PatternScratch& operator=(const PatternScratch&) = delete;

  /// Starts a text: what it may cost follows from its size. cancel, if not null, ends it when true.
  void Begin(size_t text_bytes, const std::atomic<bool>* cancel = nullptr);
  /// Goes on with so many bytes more.
  void Extend(size_t text_bytes);
  /// For a text that comes in parts: the time between them does not count.
  void StartClock();
  void StopClock();

  /// For `bytes` bytes that a step makes or hands on. False: why() tells.
  [[nodiscard]] bool Pay(uint64_t bytes) {
    if (bytes > bytes_left_) return TooMuch();
    bytes_left_ -= bytes;
    bytes_to_check_ -= std::min(bytes, bytes_to_check_);
    return bytes_to_check_ > 0 || CheckTime();
  }
  /// For a search, or as much work as one. False: why() tells.
  [[nodiscard]] bool PaySearch(size_t subject_bytes) {
    return --searches_to_check_ > 0 || CheckSearches(subject_bytes);
  }
  /// Once in a while, within work that nobody pays for. False: why() tells.
  [[nodiscard]] bool CheckTime();
  /// kCorrupt: more than the text may cost; kCancelled.
  const Status& why() const { return why_; }

 private:
  friend class Pattern;
  struct Buffers;

  bool TooMuch();
  bool CheckSearches(size_t subject_bytes);
  /// Steps that a search in so many bytes gets at first.
  void SetQuickSteps(size_t subject_bytes);

  std::unique_ptr<Buffers> buffers_;
  const std::atomic<bool>* cancel_ = nullptr;
  size_t quick_bytes_ = SIZE_MAX;
  uint64_t quick_steps_ = 0;
  uint64_t slow_searches_left_ = 0;
  uint64_t bytes_left_ = 0;
  uint64_t bytes_to_check_ = 0;
  uint32_t searches_to_check_ = 1;
  uint64_t budget_ns_ = 0;
  uint64_t deadline_ns_ = 0;      // by the clock that all may read cheaply
  uint64_t cpu_deadline_ns_ = 0;  // by this thread's own; 0: not looked at yet
  uint64_t cpu_started_ns_ = 0;
  Status why_;
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
  /// Errors   kCorrupt: the search backtracks beyond all bounds; kOutOfMemory;
  ///          PatternScratch::why.
  Status Find(std::string_view subject, size_t from, PatternScratch& scratch,
              PatternMatch* match) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };

  Pattern() = default;
  Status FindRegex(std::string_view subject, size_t from, PatternScratch& scratch,
                   PatternMatch* match) const;
  /// Searches with ever more steps; *count receives what PCRE2 says.
  Status FindSlowly(std::string_view subject, size_t from, PatternScratch& scratch,
                    int* count) const;

  std::string text_;
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;  // null for a literal
  bool has_machine_code_ = false;
};

}  // namespace graft::runtime
