// SPDX-License-Identifier: Apache-2.0
// ReplyParser: what a model writes, taken apart while it comes: thinking, calls of functions, and
// the answer's text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tools/call_body.h"
#include "runtime/tools/call_scanner.h"
#include "runtime/tools/reply_format.h"
#include "runtime/tools/tool_set.h"

namespace graft::runtime {

/// What a reply consists of is told to one of these.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  /// Text in parts, as they become certain; none is empty.
  virtual void OnText(std::string_view text) = 0;
  virtual void OnThinking(std::string_view text) = 0;
  virtual void OnCall(const ToolCall& call) = 0;
};

/// White space beside calls and thinking belongs to neither them nor the text. What begins as a call
/// and is none is text, with its marks.
class ReplyParser {
 public:
  /// More of one call than this is text.
  static constexpr size_t kMaxCallBytes = size_t{256} << 10;

  /// tools may be null: then an object without marks is no call. is_thinking: the prompt ended with
  /// what opens it. `format` must outlive this.
  ReplyParser(const ReplyFormat& format, std::shared_ptr<const ToolSet> tools, bool is_thinking);

  /// Memory   kMaxCallBytes and some more, whatever comes.
  void Append(std::string_view text, ReplySink* sink);
  /// No more comes.
  void Finish(ReplySink* sink);

 private:
  enum class Place : uint8_t { kText, kThinking, kCall, kBehindCall };

  /// What each does to buffer_; false: more must come first.
  bool Step(bool is_last, ReplySink* sink);
  bool StepText(bool is_last, ReplySink* sink);
  bool StepThinking(bool is_last, ReplySink* sink);
  bool StepCall(bool is_last, ReplySink* sink);
  bool StepBehindCall(bool is_last);

  void BeginCall(std::string_view mark);
  void GiveUpCall(size_t scanned, ReplySink* sink);
  void Emit(std::string_view text, ReplySink* sink);
  void Tell(std::string_view text, ReplySink* sink);
  std::string_view Rest() const { return std::string_view(buffer_).substr(taken_); }
  void Take(size_t bytes);
  size_t HeldBytes(std::initializer_list<std::string_view> marks) const;
  size_t SpaceBytes() const;

  const ReplyFormat& format_;
  std::shared_ptr<const ToolSet> tools_;
  Place place_ = Place::kText;
  std::string buffer_;  // what has come and is not done with, behind the first taken_ bytes
  size_t taken_ = 0;
  std::string space_;            // white space that may be part of the text
  bool has_long_space_ = false;  // too much to be held back
  bool skips_space_ = false;
  bool has_text_ = false;
  size_t rescans_ = 0;  // of calls that were none
  std::string_view call_mark_;
  std::optional<CallScanner> scanner_;
};

}  // namespace graft::runtime
