// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/call_scanner.h"

#include "runtime/tools/call_body.h"

namespace graft::runtime {

CallScanner::State CallScanner::FindKind(std::string_view body) {
  while (at_ < body.size() && IsCallSpace(body[at_])) ++at_;
  if (at_ == body.size()) return State::kOpen;
  const std::string_view rest = body.substr(at_);
  if (rest[0] == '{' || rest[0] == '[') {
    kind_ = Kind::kBrackets;
    return State::kOpen;
  }
  if (rest[0] == '<') {
    if (rest.starts_with(kElementsOpen)) kind_ = Kind::kElements;
    return kind_ == Kind::kElements || kElementsOpen.starts_with(rest) ? State::kOpen
                                                                       : State::kNever;
  }
  size_t name = 0;
  while (name < rest.size() && IsCallNameByte(rest[name])) ++name;
  if (name == 0 || name > kMaxCallNameBytes) return State::kNever;
  if (name == rest.size()) return State::kOpen;
  switch (rest[name]) {
    case ':':
      if (rest.substr(0, name) != "call") return State::kNever;
      has_own_quote_ = !quote_.empty();
      kind_ = Kind::kHead;
      break;
    case '(':
      kind_ = Kind::kBrackets;
      break;
    case '{':
    case '[':
      kind_ = Kind::kHead;
      break;
    default:
      if (close_.empty() || (rest[name] != '<' && !IsCallSpace(rest[name]))) return State::kNever;
      kind_ = Kind::kPairs;
  }
  return State::kOpen;
}

CallScanner::State CallScanner::FindText(std::string_view body, std::string_view text,
                                         bool is_included) {
  const size_t found = body.find(text, at_);
  if (found == std::string_view::npos) {
    if (body.size() + 1 > text.size() + at_) at_ = body.size() + 1 - text.size();
    return State::kOpen;
  }
  at_ = found + (is_included ? text.size() : 0);
  return State::kWhole;
}

CallScanner::State CallScanner::FollowBrackets(std::string_view body) {
  for (; at_ < body.size(); ++at_) {
    const char c = body[at_];
    if (string_ != '\0') {
      if (is_escaped_ || c == '\\') {
        is_escaped_ = !is_escaped_;
      } else if (c == string_) {
        string_ = '\0';
      }
      continue;
    }
    if (has_own_quote_ && c == quote_[0]) {
      const std::string_view rest = body.substr(at_);
      if (rest.size() < quote_.size() && quote_.starts_with(rest)) return State::kOpen;
      if (rest.starts_with(quote_)) {
        is_quoted_ = !is_quoted_;
        at_ += quote_.size() - 1;
        continue;
      }
    }
    if (is_quoted_) continue;
    if ((c == '"' || c == '\'') && !has_own_quote_) {
      string_ = c;
    } else if (c == '{' || c == '[' || c == '(') {
      if (kind_ == Kind::kHead && c != '{') continue;  // of [ARGS]
      kind_ = Kind::kBrackets;
      ++depth_;
    } else if ((c == '}' || c == ']' || c == ')') && depth_ > 0) {
      if (--depth_ > 0) continue;
      ++at_;
      return State::kWhole;
    }
  }
  return State::kOpen;
}

CallScanner::State CallScanner::Look(std::string_view body) {
  if (kind_ == Kind::kUnknown) {
    const State state = FindKind(body);
    if (kind_ == Kind::kUnknown) return state;
  }
  if (kind_ == Kind::kElements) return FindText(body, kElementsClose, true);
  if (kind_ == Kind::kPairs) return FindText(body, close_, false);
  return FollowBrackets(body);
}

}  // namespace graft::runtime
