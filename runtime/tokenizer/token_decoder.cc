// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/token_decoder.h"

#include <algorithm>
#include <utility>

#include "runtime/tokenizer/normalizer.h"
#include "schema/byte_level.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

std::string_view View(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

/// The byte that a token such as "<0xE2>" stands for, digits in any case; -1 if it is none of
/// those.
int ByteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int byte = 0;
  for (const char c : token.substr(3, 2)) {
    int digit = 0;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else {
      return -1;
    }
    byte = byte * 16 + digit;
  }
  return byte;
}

/// The longest end of `text` that `pattern` starts with, short of the whole pattern.
size_t HeldForPattern(std::string_view text, std::string_view pattern) {
  for (size_t length = std::min(text.size(), pattern.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == pattern.substr(0, length)) return length;
  }
  return 0;
}

/// The bytes at the end of `text` that are copies of `content`, `most` copies at most.
size_t TrailingCopies(std::string_view text, std::string_view content, uint32_t most) {
  const std::string_view whole = text;
  for (uint32_t i = 0; i < most && text.ends_with(content); ++i) text.remove_suffix(content.size());
  return whole.size() - text.size();
}

/// Takes out the spaces that stand before a token only because it is one of its own.
/// Source   the clean-up that Hugging Face's tokenizers does after WordPiece, in its order.
void Tidy(std::string* text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
  };
  std::string tidied;
  for (const auto& [from, to] : kRules) {
    size_t at = text->find(from);
    if (at == std::string::npos) continue;
    tidied.clear();
    size_t copied = 0;
    for (; at != std::string::npos; at = text->find(from, copied)) {
      tidied.append(*text, copied, at - copied).append(to);
      copied = at + from.size();
    }
    tidied.append(*text, copied);
    text->swap(tidied);
  }
}

}  // namespace

Result<DecoderSteps> DecoderSteps::Create(const fb::Tokenizer& tables) {
  DecoderSteps result;
  result.tables_ = &tables;
  if (tables.decoder() == nullptr) return result;
  bool is_fused = false;
  for (const fb::DecoderStep* table : *tables.decoder()) {
    Step step;
    step.table = table;
    step.is_fused = is_fused;
    if (table->kind() == fb::DecoderKind::Replace) {
      GRAFT_ASSIGN_OR_RETURN(Pattern pattern,
                             Pattern::Compile(View(table->pattern()), table->pattern_is_regex()));
      step.pattern.push_back(std::move(pattern));
      result.has_regex_ = result.has_regex_ || table->pattern_is_regex();
    }
    if (table->kind() == fb::DecoderKind::ByteLevel || table->kind() == fb::DecoderKind::Fuse) {
      is_fused = true;
    }
    result.steps_.push_back(std::move(step));
  }
  return result;
}

void DecoderSteps::SetText(uint32_t id, std::string_view text) {
  const bool spells_bytes =
      !steps_.empty() && steps_.front().table->kind() == fb::DecoderKind::ByteLevel;
  own_bytes_.emplace_back(
      id, spells_bytes ? schema::ByteLevelSpelling().Bytes(text) : std::string(text));
}

std::string_view DecoderSteps::BytesOf(uint32_t id) const {
  const auto own = std::lower_bound(own_bytes_.begin(), own_bytes_.end(), id,
                                    [](const std::pair<uint32_t, std::string>& entry,
                                       uint32_t key) { return entry.first < key; });
  if (own != own_bytes_.end() && own->first == id) return own->second;
  const uint32_t begin = tables_->token_offsets()->Get(id);
  const uint32_t end = tables_->token_offsets()->Get(id + 1);
  return {reinterpret_cast<const char*>(tables_->token_bytes()->data()) + begin, end - begin};
}

Result<std::string> DecoderSteps::InnerText(uint32_t id) const {
  std::string text(BytesOf(id));
  if (steps_.empty()) text.insert(0, 1, ' ');
  PatternScratch scratch;
  scratch.Begin(text.size());
  for (const Step& step : steps_) {
    const std::string_view content = View(step.table->content());
    std::string result;
    switch (step.table->kind()) {
      case fb::DecoderKind::Replace:
        GRAFT_RETURN_IF_ERROR(ReplaceMatches(text, step.pattern.front(), content, scratch,
                                             MaxRewrittenBytes(text.size()), &result));
        text = std::move(result);
        break;
      case fb::DecoderKind::ByteFallback:
        if (const int byte = ByteOf(text); byte >= 0) text.assign(1, static_cast<char>(byte));
        break;
      case fb::DecoderKind::Metaspace:
        for (size_t at = 0; (at = text.find(content, at)) != std::string::npos; ++at) {
          text.replace(at, content.size(), " ");
        }
        break;
      case fb::DecoderKind::Strip:  // of a fused text, only the ends
        if (step.is_fused || content.empty()) break;
        for (uint32_t i = 0; i < step.table->strip_left() && text.starts_with(content); ++i) {
          text.erase(0, content.size());
        }
        text.resize(text.size() - TrailingCopies(text, content, step.table->strip_right()));
        break;
      case fb::DecoderKind::WordPiece:
        if (text.starts_with(content)) {
          text.erase(0, content.size());
        } else {
          text.insert(0, 1, ' ');
        }
        if (step.table->tidy()) Tidy(&text);
        break;
      case fb::DecoderKind::ByteLevel:
      case fb::DecoderKind::Fuse:
        break;
    }
  }
  return text;
}

TokenDecoder::TokenDecoder(const DecoderSteps& steps)
    : steps_(steps), states_(steps.steps_.size()) {
  scratch_.StopClock();
  for (size_t i = 0; i < states_.size(); ++i) {
    states_[i].left_to_strip = steps.steps_[i].table->strip_left();
  }
}

// Between two tokens the same thread may compute for long. Only what searches takes time that the
// bytes do not tell.
Status TokenDecoder::Append(uint32_t id, std::string* out) {
  if (!steps_.has_regex_) return AppendToken(id, out);
  scratch_.StartClock();
  Status status = AppendToken(id, out);
  scratch_.StopClock();
  return status;
}

Status TokenDecoder::AppendToken(uint32_t id, std::string* out) {
  if (steps_.steps_.empty() && std::exchange(has_begun_, true)) repair_.Append(" ", out);
  const std::string_view bytes = steps_.BytesOf(id);
  scratch_.Extend(bytes.size() + 1);
  given_bytes_ += bytes.size();
  return Push(0, bytes, out);
}

Status TokenDecoder::Push(size_t step, std::string_view bytes, std::string* out) {
  if (!scratch_.Pay(bytes.size())) return scratch_.why();
  if (step == steps_.steps_.size()) {
    repair_.Append(bytes, out);
    return OkStatus();
  }
  switch (steps_.steps_[step].table->kind()) {
    case fb::DecoderKind::ByteLevel: {
      std::string repaired;
      states_[step].repair.Append(bytes, &repaired);
      return repaired.empty() ? OkStatus() : Push(step + 1, repaired, out);
    }
    case fb::DecoderKind::Fuse:
      return Push(step + 1, bytes, out);
    case fb::DecoderKind::Replace:
      return PushReplace(step, bytes, out);
    case fb::DecoderKind::ByteFallback:
      return PushByteFallback(step, bytes, out);
    case fb::DecoderKind::Strip:
      return PushStrip(step, bytes, out);
    case fb::DecoderKind::Metaspace:
      return PushMetaspace(step, bytes, out);
    case fb::DecoderKind::WordPiece:
      return PushWordPiece(step, bytes, out);
  }
  return OkStatus();
}

Status TokenDecoder::PushReplace(size_t step, std::string_view bytes, std::string* out) {
  const DecoderSteps::Step& replace = steps_.steps_[step];
  std::string& held = states_[step].held;
  std::string result;
  if (!replace.is_fused) {
    GRAFT_RETURN_IF_ERROR(ReplaceMatches(bytes, replace.pattern.front(),
                                         View(replace.table->content()), scratch_,
                                         MaxRewrittenBytes(given_bytes_), &result));
    return Push(step + 1, result, out);
  }
  held += bytes;
  if (replace.table->pattern_is_regex()) return OkStatus();  // only the end tells what matches
  const std::string_view pattern = View(replace.table->pattern());
  std::string_view rest = held;
  for (size_t at; (at = rest.find(pattern)) != std::string_view::npos;) {
    result.append(rest.substr(0, at));
    result.append(View(replace.table->content()));
    rest.remove_prefix(at + pattern.size());
    if (result.size() > MaxRewrittenBytes(given_bytes_)) {
      return Error(StatusCode::kCorrupt, "replacing in %zu bytes gives more than %zu", held.size(),
                   MaxRewrittenBytes(given_bytes_));
    }
  }
  const size_t keep = HeldForPattern(rest, pattern);
  result.append(rest.substr(0, rest.size() - keep));
  held = std::string(rest.substr(rest.size() - keep));
  return result.empty() ? OkStatus() : Push(step + 1, result, out);
}

Status TokenDecoder::PushByteFallback(size_t step, std::string_view bytes, std::string* out) {
  const int byte = steps_.steps_[step].is_fused ? -1 : ByteOf(bytes);
  if (byte >= 0) {
    states_[step].held += static_cast<char>(byte);
    return OkStatus();
  }
  GRAFT_RETURN_IF_ERROR(FlushByteFallback(step, out));
  return Push(step + 1, bytes, out);
}

Status TokenDecoder::FlushByteFallback(size_t step, std::string* out) {
  const std::string run = std::exchange(states_[step].held, {});
  if (run.empty()) return OkStatus();
  if (IsValidUtf8(run)) return Push(step + 1, run, out);
  for (size_t i = 0; i < run.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(Push(step + 1, kReplacementCharacter, out));
  }
  return OkStatus();
}

Status TokenDecoder::PushStrip(size_t step, std::string_view bytes, std::string* out) {
  const DecoderSteps::Step& strip = steps_.steps_[step];
  const std::string_view content = View(strip.table->content());
  State& state = states_[step];
  uint32_t left = strip.is_fused ? state.left_to_strip : strip.table->strip_left();
  while (left > 0 && bytes.starts_with(content)) {
    bytes.remove_prefix(content.size());
    --left;
  }
  if (!bytes.empty()) left = 0;
  state.left_to_strip = left;
  if (!strip.is_fused) {
    bytes.remove_suffix(TrailingCopies(bytes, content, strip.table->strip_right()));
    return Push(step + 1, bytes, out);
  }
  if (bytes.empty()) return OkStatus();
  state.held += bytes;
  const size_t keep = TrailingCopies(state.held, content, strip.table->strip_right());
  const std::string passed = state.held.substr(0, state.held.size() - keep);
  state.held.erase(0, passed.size());
  return passed.empty() ? OkStatus() : Push(step + 1, passed, out);
}

Status TokenDecoder::PushMetaspace(size_t step, std::string_view bytes, std::string* out) {
  const DecoderSteps::Step& metaspace = steps_.steps_[step];
  const std::string_view content = View(metaspace.table->content());
  const bool is_first = metaspace.is_fused || !std::exchange(states_[step].has_begun, true);
  const bool drops = is_first && metaspace.table->prepend_scheme() != fb::PrependScheme::Never;
  std::string result;
  for (size_t at; (at = bytes.find(content)) != std::string_view::npos;) {
    result.append(bytes.substr(0, at));
    if (!drops) result += ' ';
    bytes.remove_prefix(at + content.size());
  }
  result.append(bytes);
  return Push(step + 1, result, out);
}

Status TokenDecoder::PushWordPiece(size_t step, std::string_view bytes, std::string* out) {
  const fb::DecoderStep& table = *steps_.steps_[step].table;
  const std::string_view prefix = View(table.content());
  std::string result;
  if (std::exchange(states_[step].has_begun, true)) {
    if (bytes.starts_with(prefix)) {
      bytes.remove_prefix(prefix.size());
    } else {
      result = ' ';
    }
  }
  result.append(bytes);
  if (table.tidy()) Tidy(&result);
  return Push(step + 1, result, out);
}

Status TokenDecoder::Flush(size_t step, std::string* out) {
  State& state = states_[step];
  std::string result;
  switch (steps_.steps_[step].table->kind()) {
    case fb::DecoderKind::ByteLevel:
      state.repair.Finish(&result);
      break;
    case fb::DecoderKind::ByteFallback:
      return FlushByteFallback(step, out);
    case fb::DecoderKind::Replace:
      if (steps_.steps_[step].is_fused && steps_.steps_[step].table->pattern_is_regex()) {
        GRAFT_RETURN_IF_ERROR(ReplaceMatches(state.held, steps_.steps_[step].pattern.front(),
                                             View(steps_.steps_[step].table->content()), scratch_,
                                             MaxRewrittenBytes(given_bytes_), &result));
      } else {
        result = std::move(state.held);
      }
      break;
    case fb::DecoderKind::Strip:  // what is held is what goes from the end
    case fb::DecoderKind::Fuse:
    case fb::DecoderKind::Metaspace:
    case fb::DecoderKind::WordPiece:
      break;
  }
  state.held.clear();
  return result.empty() ? OkStatus() : Push(step + 1, result, out);
}

Status TokenDecoder::Finish(std::string* out) {
  scratch_.StartClock();
  for (size_t step = 0; step < states_.size(); ++step) GRAFT_RETURN_IF_ERROR(Flush(step, out));
  repair_.Finish(out);
  return OkStatus();
}

}  // namespace graft::runtime
