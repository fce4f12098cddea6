// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/reply_parser.h"

#include <algorithm>
#include <utility>

namespace graft::runtime {
namespace {

constexpr size_t kMaxSpaceBytes = 4096;  // that are held back
constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kMaxRescans = 64;
constexpr size_t kPieceBytes = 4096;
// Behind one call of a list without brackets comes another behind one of these.
constexpr std::string_view kBetweenBareCalls = ";,";

}  // namespace

ReplyParser::ReplyParser(const ReplyFormat& format, std::shared_ptr<const ToolSet> tools,
                         bool is_thinking)
    : format_(format),
      tools_(std::move(tools)),
      place_(is_thinking ? Place::kThinking : Place::kText),
      skips_space_(is_thinking) {}

void ReplyParser::Append(std::string_view text, ReplySink* sink) {
  while (!text.empty()) {  // in pieces, so that what is behind a mark is seldom moved
    const std::string_view piece = text.substr(0, kPieceBytes);
    text.remove_prefix(piece.size());
    buffer_.append(piece);
    while (!Rest().empty() && Step(false, sink)) {
    }
  }
}

void ReplyParser::Finish(ReplySink* sink) {
  while (!Rest().empty() && Step(true, sink)) {
  }
  if (place_ == Place::kCall) GiveUpCall(0, sink);
  if (!space_.empty()) Tell(std::exchange(space_, std::string()), sink);
}

bool ReplyParser::Step(bool is_last, ReplySink* sink) {
  switch (place_) {
    case Place::kText:
      return StepText(is_last, sink);
    case Place::kThinking:
      return StepThinking(is_last, sink);
    case Place::kCall:
      return StepCall(is_last, sink);
    case Place::kBehindCall:
      return StepBehindCall(is_last);
  }
  return false;
}

/// How many bytes at the end of the buffer may be the beginning of a mark.
size_t ReplyParser::HeldBytes(std::initializer_list<std::string_view> marks) const {
  size_t held = 0;
  for (const std::string_view mark : marks) {
    if (mark.empty()) continue;
    for (size_t n = std::min(mark.size() - 1, Rest().size()); n > held; --n) {
      if (Rest().ends_with(mark.substr(0, n))) held = n;
    }
  }
  return held;
}

size_t ReplyParser::SpaceBytes() const {
  size_t bytes = 0;
  while (bytes < Rest().size() && IsCallSpace(Rest()[bytes])) ++bytes;
  return bytes;
}

void ReplyParser::Take(size_t bytes) {
  taken_ += bytes;
  if (taken_ < kPieceBytes && taken_ < buffer_.size()) return;
  if (taken_ < buffer_.size() - taken_) return;  // so that bytes are seldom moved
  buffer_.erase(0, taken_);
  taken_ = 0;
}

void ReplyParser::Tell(std::string_view text, ReplySink* sink) {
  if (place_ == Place::kThinking) {
    sink->OnThinking(text);
  } else {
    has_text_ = has_text_ || text.find_first_not_of(kSpace) != std::string_view::npos;
    sink->OnText(text);
  }
}

/// Hands text out but for white space at its end, which a mark may follow.
void ReplyParser::Emit(std::string_view text, ReplySink* sink) {
  if (skips_space_) {
    while (!text.empty() && IsCallSpace(text.front())) text.remove_prefix(1);
    if (text.empty()) return;
    skips_space_ = false;
  }
  size_t end = text.size();
  while (end > 0 && IsCallSpace(text[end - 1])) --end;
  if (end > 0) {
    space_.append(text.substr(0, end));
    Tell(std::exchange(space_, std::string()), sink);
    has_long_space_ = false;
  }
  space_.append(text.substr(end));
  has_long_space_ = has_long_space_ || space_.size() > kMaxSpaceBytes;
  if (has_long_space_ && !space_.empty()) Tell(std::exchange(space_, std::string()), sink);
}

void ReplyParser::BeginCall(std::string_view mark) {
  place_ = Place::kCall;
  call_mark_ = mark;
  scanner_.emplace(format_.quote, format_.close);
}

bool ReplyParser::StepText(bool is_last, ReplySink* sink) {
  if (format_.is_bare && tools_ != nullptr && !has_text_) {
    const size_t space = SpaceBytes();
    if (space == Rest().size() && !is_last && space <= kMaxSpaceBytes) return false;
    if (space < Rest().size() && Rest()[space] == '{') {
      Emit(Rest().substr(0, space), sink);
      Take(space);
      BeginCall({});
      return true;
    }
  }
  const size_t think = Rest().find(format_.think_open);
  const size_t call = Rest().find(format_.open);
  const size_t mark = std::min(think, call);
  if (mark != std::string::npos) {
    Emit(Rest().substr(0, mark), sink);
    const bool is_call = call < think;
    Take(mark + (is_call ? format_.open : format_.think_open).size());
    if (is_call) {
      BeginCall(format_.open);
    } else {
      place_ = Place::kThinking;
      space_.clear();
      skips_space_ = true;
    }
    return true;
  }
  const size_t held = is_last ? 0 : HeldBytes({format_.think_open, format_.open});
  Emit(Rest().substr(0, Rest().size() - held), sink);
  Take(Rest().size() - held);
  return false;
}

bool ReplyParser::StepThinking(bool is_last, ReplySink* sink) {
  const size_t mark = Rest().find(format_.think_close);
  if (mark != std::string::npos) {
    Emit(Rest().substr(0, mark), sink);
    space_.clear();
    Take(mark + format_.think_close.size());
    place_ = Place::kText;
    skips_space_ = true;
    return true;
  }
  const size_t held = is_last ? 0 : HeldBytes({format_.think_close});
  Emit(Rest().substr(0, Rest().size() - held), sink);
  Take(Rest().size() - held);
  return false;
}

/// What began as a call is text. Of what the scanner has looked at, marks are looked for again, but
/// not too often.
void ReplyParser::GiveUpCall(size_t scanned, ReplySink* sink) {
  place_ = Place::kText;
  has_text_ = true;  // what follows is no call without a mark
  Emit(call_mark_, sink);
  if (scanned == 0 || rescans_++ < kMaxRescans) return;
  Emit(Rest().substr(0, scanned), sink);
  Take(scanned);
}

bool ReplyParser::StepCall(bool is_last, ReplySink* sink) {
  using State = CallScanner::State;
  const State state = scanner_->Look(Rest());
  if (state == State::kOpen && !is_last && Rest().size() <= kMaxCallBytes) return false;
  std::vector<ToolCall> calls;
  const bool is_read =
      state == State::kWhole && scanner_->end() <= kMaxCallBytes &&
      ReadCalls(Rest().substr(0, scanner_->end()), format_.quote, tools_.get(), &calls);
  if (!is_read) {
    const size_t scanned = state == State::kWhole ? scanner_->end() : Rest().size();
    GiveUpCall(state == State::kNever ? 0 : std::min(scanned, kMaxCallBytes), sink);
    return true;
  }
  Take(scanner_->end());
  space_.clear();
  skips_space_ = true;
  place_ = Place::kBehindCall;
  for (const ToolCall& call : calls) sink->OnCall(call);
  return true;
}

bool ReplyParser::StepBehindCall(bool is_last) {
  Take(SpaceBytes());
  const std::string_view rest = Rest();
  if (rest.empty()) return false;
  if (!format_.close.empty()) {
    if (rest.starts_with(format_.close)) {
      Take(format_.close.size());
      place_ = Place::kText;
    } else if (format_.close.starts_with(rest)) {
      if (is_last) Take(rest.size());
      return false;
    } else if (rest[0] == '{' || rest[0] == '[' ||
               (format_.form == CallForm::kPython && IsCallNameByte(rest[0]))) {
      BeginCall({});
    } else {
      place_ = Place::kText;  // the mark was forgotten
    }
    return true;
  }
  if (format_.is_bare && kBetweenBareCalls.find(rest[0]) != std::string_view::npos) {
    const size_t next = rest.find_first_not_of(kSpace, 1);
    if (next == std::string_view::npos && !is_last && rest.size() <= kMaxSpaceBytes) return false;
    if (next <= kMaxSpaceBytes && rest[next] == '{') {
      Take(next);
      BeginCall({});
      return true;
    }
  }
  place_ = Place::kText;
  return true;
}

}  // namespace graft::runtime
