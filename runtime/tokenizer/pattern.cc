// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/pattern.h"

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include <pcre2.h>

namespace graft::runtime {
namespace {

// Each search first gets few steps, which is plenty for any splitting rule on any usual text. A
// search that needs more is repeated with many, and there may only be so many of those in a text:
// the total stays bounded whatever the pattern.
constexpr uint32_t kQuickSteps = 4000;
constexpr uint64_t kSlowSteps = 1'000'000;
constexpr uint64_t kSlowStepsPerByte = 64;
constexpr uint64_t kMaxSteps = uint64_t{1} << 31;
constexpr uint64_t kSlowSearches = 64;
constexpr uint64_t kBytesPerSlowSearch = 4096;

// One step may read all of the subject: in a long one a search gets fewer before it is looked at
// how long it took, and then each time eight times as many.
constexpr uint64_t kQuickStepBytes = uint64_t{1} << 26;
constexpr uint32_t kFewestSteps = 64;
constexpr uint64_t kMoreSteps = 8;

// What a text may cost: about a second, and what no device needs for a byte.
constexpr uint64_t kBaseNs = 500'000'000;
constexpr uint64_t kNsPerByte = 2000;
constexpr uint64_t kPaidAlways = uint64_t{1} << 18;
constexpr uint64_t kPaidPerByte = 256;
constexpr uint64_t kBytesBetweenChecks = uint64_t{1} << 16;
constexpr uint32_t kSearchesBetweenChecks = 16;
constexpr uint64_t kNever = UINT64_MAX;
// The thread's own clock costs a system call: it is first looked at when a part of the time is over.
constexpr uint64_t kFirstLook = 8;

uint64_t Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

#ifdef CLOCK_MONOTONIC_COARSE
constexpr clockid_t kCheapClock = CLOCK_MONOTONIC_COARSE;
#else
constexpr clockid_t kCheapClock = CLOCK_MONOTONIC;
#endif

constexpr uint32_t kHeapLimitKib = 32 * 1024;
constexpr size_t kMachineStackBytes = size_t{512} * 1024;
constexpr uint32_t kMaxParentheses = 100;
constexpr size_t kMaxPatternCodeBytes = size_t{1} << 20;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct PatternScratch::Buffers {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* quick = pcre2_match_context_create(nullptr);
  pcre2_match_context* slow = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = nullptr;

  ~Buffers() {
    if (stack != nullptr) pcre2_jit_stack_free(stack);
    pcre2_match_context_free(slow);
    pcre2_match_context_free(quick);
    pcre2_match_data_free(match);
  }
  bool complete() const { return match != nullptr && quick != nullptr && slow != nullptr; }
};

PatternScratch::PatternScratch() : buffers_(std::make_unique<Buffers>()) {
  if (!buffers_->complete()) throw std::bad_alloc();
  Begin(0);
  pcre2_set_heap_limit(buffers_->quick, kHeapLimitKib);
  pcre2_set_heap_limit(buffers_->slow, kHeapLimitKib);
}

PatternScratch::~PatternScratch() = default;

void PatternScratch::Begin(size_t text_bytes, const std::atomic<bool>* cancel) {
  cancel_ = cancel;
  slow_searches_left_ = kSlowSearches;
  bytes_left_ = kPaidAlways;
  bytes_to_check_ = kBytesBetweenChecks;
  searches_to_check_ = kSearchesBetweenChecks;
  budget_ns_ = kBaseNs;
  deadline_ns_ = Now(kCheapClock) + kBaseNs / kFirstLook;
  cpu_deadline_ns_ = 0;
  Extend(text_bytes);
}

void PatternScratch::Extend(size_t text_bytes) {
  slow_searches_left_ += text_bytes / kBytesPerSlowSearch;
  bytes_left_ += kPaidPerByte * text_bytes;
  budget_ns_ += kNsPerByte * text_bytes;
  if (deadline_ns_ != kNever) deadline_ns_ += kNsPerByte * text_bytes / kFirstLook;
  cpu_deadline_ns_ += cpu_deadline_ns_ == 0 ? 0 : kNsPerByte * text_bytes;
}

void PatternScratch::StartClock() {
  cpu_started_ns_ = Now(CLOCK_THREAD_CPUTIME_ID);
  cpu_deadline_ns_ = cpu_started_ns_ + budget_ns_;
  deadline_ns_ = Now(kCheapClock) + budget_ns_;
}

void PatternScratch::StopClock() {
  budget_ns_ -= std::min(budget_ns_, Now(CLOCK_THREAD_CPUTIME_ID) - cpu_started_ns_);
  cpu_deadline_ns_ = 0;
  deadline_ns_ = kNever;
}

bool PatternScratch::TooMuch() {
  why_ = Status(StatusCode::kCorrupt, "the tokenizer's steps make far more of the text than it is");
  return false;
}

// The cheap clock goes on while other threads have the core: only its own tells what this one did.
bool PatternScratch::CheckTime() {
  bytes_to_check_ = kBytesBetweenChecks;
  if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) {
    why_ = Status(StatusCode::kCancelled, "cancelled");
    return false;
  }
  const uint64_t now = Now(kCheapClock);
  if (now < deadline_ns_) return true;
  const uint64_t cpu_now = Now(CLOCK_THREAD_CPUTIME_ID);
  if (cpu_deadline_ns_ == 0) cpu_deadline_ns_ = cpu_now + budget_ns_;  // the first look
  if (cpu_now < cpu_deadline_ns_) {
    deadline_ns_ = now + (cpu_deadline_ns_ - cpu_now);
    return true;
  }
  why_ = Status(StatusCode::kCorrupt, "the tokenizer's patterns take too many steps");
  return false;
}

void PatternScratch::SetQuickSteps(size_t subject_bytes) {
  quick_bytes_ = subject_bytes;
  quick_steps_ =
      std::clamp<uint64_t>(kQuickStepBytes / (subject_bytes + 1), kFewestSteps, kQuickSteps);
  pcre2_set_match_limit(buffers_->quick, static_cast<uint32_t>(quick_steps_));
}

bool PatternScratch::CheckSearches(size_t subject_bytes) {
  // In a subject beyond a megabyte even a search of the fewest steps may take long.
  const uint64_t most = kQuickStepBytes / kFewestSteps;
  searches_to_check_ = subject_bytes <= most        ? kSearchesBetweenChecks
                       : subject_bytes <= 16 * most ? kSearchesBetweenChecks / 4
                                                    : 1;
  return CheckTime();
}

void Pattern::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Result<Pattern> Pattern::Compile(std::string_view text, bool is_regex) {
  Pattern pattern;
  pattern.text_ = text;
  if (!is_regex) {
    if (text.empty()) return Status(StatusCode::kCorrupt, "a pattern is empty");
    return pattern;
  }
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (context == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a pattern");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), kMaxParentheses);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pattern.code_.reset(pcre2_compile(Units(text), text.size(),
                                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error,
                                    &offset, context.get()));
  const int shown = static_cast<int>(std::min<size_t>(text.size(), 100));
  if (pattern.code_ == nullptr) {
    PCRE2_UCHAR reason[128] = {};
    pcre2_get_error_message(error, reason, sizeof(reason));
    return Error(error == PCRE2_ERROR_HEAP_FAILED ? StatusCode::kOutOfMemory : StatusCode::kCorrupt,
                 "pattern \"%.*s\": %s at byte %zu", shown, text.data(),
                 reinterpret_cast<const char*>(reason), static_cast<size_t>(offset));
  }
  size_t code_bytes = 0;
  pcre2_pattern_info(pattern.code_.get(), PCRE2_INFO_SIZE, &code_bytes);
  if (code_bytes > kMaxPatternCodeBytes) {
    return Error(StatusCode::kCorrupt, "pattern \"%.*s\" takes %zu bytes compiled, at most %zu fit",
                 shown, text.data(), code_bytes, kMaxPatternCodeBytes);
  }
  // Where the system forbids it the interpreter does the same, slower.
  pattern.has_machine_code_ = pcre2_jit_compile(pattern.code_.get(), PCRE2_JIT_COMPLETE) == 0;
  return pattern;
}

Status Pattern::Find(std::string_view subject, size_t from, PatternScratch& scratch,
                     PatternMatch* match) const {
  match->found = false;
  if (!scratch.PaySearch(subject.size())) return scratch.why();
  if (code_ != nullptr) return FindRegex(subject, from, scratch, match);
  const size_t at = subject.find(text_, from);
  if (at != std::string_view::npos) *match = {at, at + text_.size(), true};
  return OkStatus();
}

Status Pattern::FindSlowly(std::string_view subject, size_t from, PatternScratch& scratch,
                           int* count) const {
  PatternScratch::Buffers* buffers = scratch.buffers_.get();
  if (has_machine_code_ && buffers->stack == nullptr) {
    buffers->stack = pcre2_jit_stack_create(size_t{32} * 1024, kMachineStackBytes, nullptr);
    pcre2_jit_stack_assign(buffers->slow, nullptr, buffers->stack);
  }
  const uint64_t most =
      std::min(kSlowSteps + kSlowStepsPerByte * uint64_t{subject.size()}, kMaxSteps);
  bool is_slow = scratch.quick_steps_ >= kQuickSteps;
  for (uint64_t steps = scratch.quick_steps_; steps < most;) {
    steps = std::min(most, steps * kMoreSteps);
    if (!is_slow && steps > kQuickSteps) is_slow = true;
    if (is_slow && scratch.slow_searches_left_ == 0) return OkStatus();
    if (!scratch.CheckTime()) return scratch.why();
    pcre2_set_match_limit(buffers->slow, static_cast<uint32_t>(steps));
    *count = pcre2_match(code_.get(), Units(subject), subject.size(), from, PCRE2_NO_UTF_CHECK,
                         buffers->match, buffers->slow);
    if (*count == PCRE2_ERROR_JIT_STACKLIMIT) {
      *count = pcre2_match(code_.get(), Units(subject), subject.size(), from,
                           PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, buffers->match, buffers->slow);
    }
    if (*count != PCRE2_ERROR_MATCHLIMIT) break;
  }
  if (is_slow) --scratch.slow_searches_left_;
  return OkStatus();
}

Status Pattern::FindRegex(std::string_view subject, size_t from, PatternScratch& scratch,
                          PatternMatch* match) const {
  PatternScratch::Buffers* buffers = scratch.buffers_.get();
  if (scratch.quick_bytes_ != subject.size()) scratch.SetQuickSteps(subject.size());
  int count = has_machine_code_ ? pcre2_jit_match(code_.get(), Units(subject), subject.size(), from,
                                                  0, buffers->match, buffers->quick)
                                : pcre2_match(code_.get(), Units(subject), subject.size(), from,
                                              PCRE2_NO_UTF_CHECK, buffers->match, buffers->quick);
  if (count < 0 && count != PCRE2_ERROR_NOMATCH) {
    GRAFT_RETURN_IF_ERROR(FindSlowly(subject, from, scratch, &count));
  }
  if (count == PCRE2_ERROR_NOMATCH) return OkStatus();
  if (count < 0) {
    PCRE2_UCHAR reason[128] = {};
    pcre2_get_error_message(count, reason, sizeof(reason));
    return Error(count == PCRE2_ERROR_NOMEMORY ? StatusCode::kOutOfMemory : StatusCode::kCorrupt,
                 "pattern \"%.*s\" on a text of %zu bytes: %s",
                 static_cast<int>(std::min<size_t>(text_.size(), 100)), text_.data(),
                 subject.size(), reinterpret_cast<const char*>(reason));
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(buffers->match);
  // \K can put the start behind the end, or before where the search began.
  if (bounds[0] > bounds[1] || bounds[0] < from || bounds[1] > subject.size()) {
    return Error(StatusCode::kCorrupt, "pattern \"%.*s\" matches backwards",
                 static_cast<int>(std::min<size_t>(text_.size(), 100)), text_.data());
  }
  *match = {bounds[0], bounds[1], true};
  return OkStatus();
}

}  // namespace graft::runtime
