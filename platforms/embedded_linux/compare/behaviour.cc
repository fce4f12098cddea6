// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/behaviour.h"

#include <cctype>

namespace graft_run {
namespace {

struct Marks {
  std::string_view opens, closes;
};

// What models put around their thinking.
constexpr Marks kThinking[] = {{"<think>", "</think>"},
                               {"<thinking>", "</thinking>"},
                               {"[THINK]", "[/THINK]"},
                               {"<|channel|>analysis", "<|channel|>final"}};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0)
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
    text.remove_suffix(1);
  return text;
}

/// Reads one JSON value. Depth is held in an argument, as the text may come from anywhere.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  bool ReadWhole() {
    SkipSpace();
    return ReadValue(kMaxDepth) && (SkipSpace(), at_ == text_.size());
  }

 private:
  static constexpr int kMaxDepth = 1000;

  char Peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(char c) {
    if (Peek() != c || at_ >= text_.size()) return false;
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }
  bool TakeWord(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  bool TakeDigits() {
    const size_t begin = at_;
    while (Peek() >= '0' && Peek() <= '9') ++at_;
    return at_ > begin;
  }

  bool ReadNumber() {
    Take('-');
    if (!Take('0') && !TakeDigits()) return false;
    if (Take('.') && !TakeDigits()) return false;
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      return TakeDigits();
    }
    return true;
  }

  bool ReadEscape() {
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
    for (int i = 0; i < 4; ++i) {
      if (std::isxdigit(static_cast<unsigned char>(Peek())) == 0) return false;
      ++at_;
    }
    return true;
  }

  bool ReadString() {
    if (!Take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c == '\\' && !ReadEscape()) return false;
    }
    return false;
  }

  bool ReadMembers(bool is_object, int depth) {
    const char end = is_object ? '}' : ']';
    ++at_;
    SkipSpace();
    if (Take(end)) return true;
    do {
      SkipSpace();
      if (is_object) {
        if (!ReadString()) return false;
        SkipSpace();
        if (!Take(':')) return false;
        SkipSpace();
      }
      if (!ReadValue(depth - 1)) return false;
      SkipSpace();
    } while (Take(','));
    return Take(end);
  }

  bool ReadValue(int depth) {
    if (depth == 0) return false;
    switch (Peek()) {
      case '{':
        return ReadMembers(true, depth);
      case '[':
        return ReadMembers(false, depth);
      case '"':
        return ReadString();
      case 't':
        return TakeWord("true");
      case 'f':
        return TakeWord("false");
      case 'n':
        return TakeWord("null");
      default:
        return ReadNumber();
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

bool IsJson(std::string_view text) {
  text = Trim(text);
  if (text.starts_with("```") && text.ends_with("```") && text.size() > 6) {
    const size_t line = text.find('\n');  // behind the fence a language may stand
    if (line == std::string_view::npos) return false;
    text = Trim(text.substr(line, text.size() - line - 3));
  }
  return (text.starts_with('{') || text.starts_with('[')) && JsonReader(text).ReadWhole();
}

Behaviour BehaviourOf(std::string_view prompt, std::string_view answer, bool ended) {
  Behaviour behaviour;
  behaviour.ended = ended;
  for (const Marks& marks : kThinking) {
    const size_t opens = answer.find(marks.opens);
    const bool is_open = Trim(prompt).ends_with(marks.opens);
    if (opens == std::string_view::npos && !is_open) continue;
    behaviour.opened_thinking = true;
    const size_t closes = answer.find(marks.closes, is_open ? 0 : opens);
    behaviour.closed_thinking = closes != std::string_view::npos;
    answer = behaviour.closed_thinking ? answer.substr(closes + marks.closes.size())
                                       : std::string_view();
    break;
  }
  behaviour.is_json = IsJson(answer);
  return behaviour;
}

}  // namespace graft_run
