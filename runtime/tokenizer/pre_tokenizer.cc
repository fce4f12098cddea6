// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/pre_tokenizer.h"

#include <string>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/tokenizer/bert_text.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;

/// Turns the spans of a split, matches and what lies between, into pieces, as the step's behavior
/// says, and runs the steps that follow on each.
class PreTokenizer::SpanMerger {
 public:
  SpanMerger(const PreTokenizer& owner, size_t next_step, std::string_view text, bool is_start,
             fb::SplitBehavior behavior, PatternScratch& scratch, PieceSink& sink)
      : owner_(owner),
        next_step_(next_step),
        text_(text),
        is_start_(is_start),
        behavior_(behavior),
        scratch_(scratch),
        sink_(sink) {}

  Status Span(size_t begin, size_t end, bool is_match) {
    switch (behavior_) {
      case fb::SplitBehavior::Removed:
        return is_match ? OkStatus() : Emit(begin, end);
      case fb::SplitBehavior::Isolated:
        return Emit(begin, end);
      case fb::SplitBehavior::Contiguous:
        return Join(begin, end, is_match, is_match == was_match_);
      case fb::SplitBehavior::MergedWithPrevious:
        return Join(begin, end, is_match, is_match && !was_match_);
      case fb::SplitBehavior::MergedWithNext:
        return Join(begin, end, is_match, was_match_ && !is_match);
    }
    return OkStatus();
  }

  Status Finish() { return has_held_ ? Emit(held_begin_, held_end_) : OkStatus(); }

 private:
  /// Holds a span back until it is known whether the next one belongs to it.
  Status Join(size_t begin, size_t end, bool is_match, bool with_held) {
    was_match_ = is_match;
    if (has_held_ && with_held) {
      held_end_ = end;
      return OkStatus();
    }
    const bool had_held = std::exchange(has_held_, true);
    const size_t done_begin = std::exchange(held_begin_, begin);
    const size_t done_end = std::exchange(held_end_, end);
    return had_held ? Emit(done_begin, done_end) : OkStatus();
  }

  Status Emit(size_t begin, size_t end) {
    if (begin == end) return OkStatus();
    return owner_.Run(next_step_, text_.substr(begin, end - begin), is_start_ && begin == 0,
                      scratch_, sink_);
  }

  const PreTokenizer& owner_;
  const size_t next_step_;
  const std::string_view text_;
  const bool is_start_;
  const fb::SplitBehavior behavior_;
  PatternScratch& scratch_;
  PieceSink& sink_;
  bool has_held_ = false;
  bool was_match_ = false;
  size_t held_begin_ = 0;
  size_t held_end_ = 0;
};

Result<PreTokenizer> PreTokenizer::Create(const fb::Tokenizer& tables) {
  PreTokenizer result;
  if (tables.pre_tokenizer() == nullptr) return result;
  for (const fb::PreTokenizerStep* table : *tables.pre_tokenizer()) {
    Step step;
    step.table = table;
    if (table->kind() == fb::PreTokenizerKind::Split) {
      const std::string_view text(table->pattern()->c_str(), table->pattern()->size());
      GRAFT_ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(text, table->pattern_is_regex()));
      step.pattern.push_back(std::move(pattern));
    } else if (table->kind() == fb::PreTokenizerKind::Metaspace) {
      const std::string_view text(table->content()->c_str(), table->content()->size());
      GRAFT_ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(text, false));
      step.pattern.push_back(std::move(pattern));
    }
    result.steps_.push_back(std::move(step));
  }
  return result;
}

Status PreTokenizer::Cut(std::string_view text, bool is_start, PatternScratch& scratch,
                         PieceSink& sink) const {
  return PayFrom(0, text.size(), scratch) ? Run(0, text, is_start, scratch, sink) : scratch.why();
}

// Most steps hand on what they are given, and pieces become tokens, which costs several times as
// much.
bool PreTokenizer::PayFrom(size_t step, size_t bytes, PatternScratch& scratch) const {
  constexpr uint64_t kPiecePrice = 8;
  return scratch.Pay((kPiecePrice + steps_.size() - step) * bytes);
}

Status PreTokenizer::Run(size_t step, std::string_view piece, bool is_start,
                         PatternScratch& scratch, PieceSink& sink) const {
  if (piece.empty()) return OkStatus();
  if (step == steps_.size()) return sink.Piece(piece);
  switch (steps_[step].table->kind()) {
    case fb::PreTokenizerKind::Split:
      return RunSplit(step, piece, is_start, scratch, sink);
    case fb::PreTokenizerKind::PrefixSpace: {
      if (piece.starts_with(' ')) return Run(step + 1, piece, is_start, scratch, sink);
      if (!PayFrom(step, 1, scratch)) return scratch.why();
      std::string spaced;
      spaced.reserve(piece.size() + 1);
      spaced.append(1, ' ').append(piece);
      return Run(step + 1, spaced, is_start, scratch, sink);
    }
    case fb::PreTokenizerKind::Metaspace:
      return RunMetaspace(step, piece, is_start, scratch, sink);
    case fb::PreTokenizerKind::BertWords:
      return RunBertWords(step, piece, is_start, scratch, sink);
  }
  return OkStatus();
}

Status PreTokenizer::RunSplit(size_t step, std::string_view piece, bool is_start,
                              PatternScratch& scratch, PieceSink& sink) const {
  const Step& split = steps_[step];
  SpanMerger merger(*this, step + 1, piece, is_start, split.table->behavior(), scratch, sink);
  const bool invert = split.table->invert();
  size_t done = 0;
  bool had_match = false;
  for (size_t from = 0; from <= piece.size();) {
    PatternMatch match;
    GRAFT_RETURN_IF_ERROR(split.pattern.front().Find(piece, from, scratch, &match));
    if (!match.found) break;
    if (match.begin == match.end) {  // look on behind the next character
      from = match.end + (match.end < piece.size() ? ReadUtf8(piece, match.end).length : 1);
      if (had_match && match.begin == done) continue;
    } else {
      from = match.end;
    }
    had_match = true;
    if (done != match.begin) GRAFT_RETURN_IF_ERROR(merger.Span(done, match.begin, invert));
    GRAFT_RETURN_IF_ERROR(merger.Span(match.begin, match.end, !invert));
    done = match.end;
  }
  if (done != piece.size()) GRAFT_RETURN_IF_ERROR(merger.Span(done, piece.size(), invert));
  return merger.Finish();
}

Status PreTokenizer::RunMetaspace(size_t step, std::string_view piece, bool is_start,
                                  PatternScratch& scratch, PieceSink& sink) const {
  const fb::PreTokenizerStep& table = *steps_[step].table;
  const std::string_view content(table.content()->c_str(), table.content()->size());
  std::string text;
  text.reserve(piece.size() + piece.size() / 2 + content.size());
  for (const char c : piece) {
    if (c == ' ') {
      text += content;
    } else {
      text += c;
    }
  }
  const fb::PrependScheme scheme = table.prepend_scheme();
  const bool prepends =
      scheme == fb::PrependScheme::Always || (scheme == fb::PrependScheme::First && is_start);
  if (prepends && !text.starts_with(content)) text.insert(0, content);
  if (text.size() > piece.size() && !PayFrom(step, text.size() - piece.size(), scratch))
    return scratch.why();
  if (!table.split()) return Run(step + 1, text, is_start, scratch, sink);

  SpanMerger merger(*this, step + 1, text, is_start, fb::SplitBehavior::MergedWithNext, scratch,
                    sink);
  size_t done = 0;
  for (;;) {
    PatternMatch match;
    GRAFT_RETURN_IF_ERROR(steps_[step].pattern.front().Find(text, done, scratch, &match));
    if (!match.found) break;
    if (done != match.begin) GRAFT_RETURN_IF_ERROR(merger.Span(done, match.begin, false));
    GRAFT_RETURN_IF_ERROR(merger.Span(match.begin, match.end, true));
    done = match.end;
  }
  if (done != text.size()) GRAFT_RETURN_IF_ERROR(merger.Span(done, text.size(), false));
  return merger.Finish();
}

Status PreTokenizer::RunBertWords(size_t step, std::string_view piece, bool is_start,
                                  PatternScratch& scratch, PieceSink& sink) const {
  const auto emit = [&](size_t begin, size_t end) {
    if (begin == end) return OkStatus();
    return Run(step + 1, piece.substr(begin, end - begin), is_start && begin == 0, scratch, sink);
  };
  size_t word = 0;
  for (size_t at = 0; at < piece.size();) {
    const Utf8Char c = ReadUtf8(piece, at);
    const size_t end = at + c.length;
    const bool is_punctuation = IsPunctuation(c.code);
    if (is_punctuation || IsWhiteSpace(c.code)) {
      GRAFT_RETURN_IF_ERROR(emit(word, at));
      if (is_punctuation) GRAFT_RETURN_IF_ERROR(emit(at, end));
      word = end;
    }
    at = end;
  }
  return emit(word, piece.size());
}

}  // namespace graft::runtime
