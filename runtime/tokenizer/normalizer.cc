// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/normalizer.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <utf8proc.h>

#include "runtime/base/utf8.h"
#include "runtime/tokenizer/bert_text.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Normal forms grow a text to 18 times its size at most.
constexpr size_t kMaxGrowth = 32;
constexpr size_t kAlwaysFits = size_t{16} << 10;

std::string_view View(const flatbuffers::String* text) {
  return text == nullptr ? std::string_view() : std::string_view(text->c_str(), text->size());
}

/// Whether every character is below U+0300. Those neither combine nor, composed, decompose.
bool IsBelowCombining(std::string_view text) {
  for (const char c : text) {
    if (static_cast<uint8_t>(c) >= 0xCC) return false;
  }
  return true;
}

// What a character decomposes into at most.
constexpr utf8proc_ssize_t kMostParts = 64;
constexpr utf8proc_int32_t kFirstMark = 0x300;

/// Puts marks that follow each other into the order of their classes. utf8proc_map does that too,
/// in time that grows as the square of their number.
void OrderMarks(std::vector<utf8proc_int32_t>* codes) {
  const auto class_of = [](utf8proc_int32_t code) {
    return code < kFirstMark ? 0 : utf8proc_get_property(code)->combining_class;
  };
  for (size_t at = 0; at < codes->size();) {
    if (class_of((*codes)[at++]) == 0) continue;
    const size_t begin = at - 1;
    while (at < codes->size() && class_of((*codes)[at]) != 0) ++at;
    if (at - begin == 1) continue;
    const auto first = codes->begin() + static_cast<ptrdiff_t>(begin);
    std::stable_sort(
        first, codes->begin() + static_cast<ptrdiff_t>(at),
        [&](utf8proc_int32_t a, utf8proc_int32_t b) { return class_of(a) < class_of(b); });
  }
}

Status Normalize(int flags, std::string* text) {
  if (IsAscii(*text)) return OkStatus();
  if (flags == (UTF8PROC_STABLE | UTF8PROC_COMPOSE) && IsBelowCombining(*text)) return OkStatus();
  const auto options = static_cast<utf8proc_option_t>(flags);
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text->size());
  utf8proc_int32_t parts[kMostParts];
  int boundary = 0;
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = ReadUtf8(*text, at);
    at += c.length;
    if (c.code < 0x80) {
      codes.push_back(static_cast<utf8proc_int32_t>(c.code));
      continue;
    }
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code),
                                                           parts, kMostParts, options, &boundary);
    if (count < 0 || count > kMostParts) {
      return Error(StatusCode::kInternal, "normalizing U+%04X: %s", c.code, utf8proc_errmsg(count));
    }
    codes.insert(codes.end(), parts, parts + count);
  }
  OrderMarks(&codes);
  const utf8proc_ssize_t count =
      utf8proc_normalize_utf32(codes.data(), static_cast<utf8proc_ssize_t>(codes.size()), options);
  text->clear();
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const auto code = static_cast<uint32_t>(codes[static_cast<size_t>(i)]);
    if (code < 0x80) {
      text->push_back(static_cast<char>(code));
    } else {
      AppendUtf8(code, text);
    }
  }
  return OkStatus();
}

void Lowercase(std::string* text) {
  if (IsAscii(*text)) {
    for (char& c : *text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return;
  }
  std::string lower;
  lower.reserve(text->size());
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = ReadUtf8(*text, at);
    at += c.length;
    if (c.code < 0x80) {
      lower += static_cast<char>(c.code >= 'A' && c.code <= 'Z' ? c.code + 32 : c.code);
    } else if (c.code == 0x130) {  // the one letter whose lower case is two characters
      lower += "i\xCC\x87";
    } else {
      AppendUtf8(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code))),
                 &lower);
    }
  }
  *text = std::move(lower);
}

/// Removes white space from the ends; returns whether any went from the start.
bool Strip(bool left, bool right, std::string* text) {
  size_t begin = 0;
  size_t end = text->size();
  while (left && begin < end) {
    const Utf8Char c = ReadUtf8(*text, begin);
    if (!IsWhiteSpace(c.code)) break;
    begin += c.length;
  }
  while (right && end > begin) {
    const Utf8Char c = ReadUtf8Before(*text, end);
    if (!IsWhiteSpace(c.code)) break;
    end -= c.length;
  }
  *text = text->substr(begin, end - begin);
  return begin > 0;
}

}  // namespace

Status ReplaceMatches(std::string_view text, const Pattern& pattern, std::string_view content,
                      PatternScratch& scratch, size_t max_bytes, std::string* out,
                      bool* lost_start) {
  size_t copied = 0;
  bool had_match = false;
  for (size_t from = 0; from <= text.size();) {
    PatternMatch match;
    GRAFT_RETURN_IF_ERROR(pattern.Find(text, from, scratch, &match));
    if (!match.found) break;
    if (match.begin == match.end) {  // look on behind the next character
      from = match.end + (match.end < text.size() ? ReadUtf8(text, match.end).length : 1);
      if (had_match && match.begin == copied) continue;
    } else {
      from = match.end;
    }
    had_match = true;
    if (lost_start != nullptr && match.begin == 0 && match.end > 0 &&
        (content.empty() || match.end > Utf8Length(text[0]))) {
      *lost_start = true;
    }
    out->append(text.substr(copied, match.begin - copied));
    out->append(content);
    copied = match.end;
    if (out->size() > max_bytes) {
      return Error(StatusCode::kCorrupt, "replacing in %zu bytes gives more than %zu", text.size(),
                   max_bytes);
    }
  }
  out->append(text.substr(copied));
  return OkStatus();
}

size_t MaxRewrittenBytes(size_t bytes) { return std::max(kMaxGrowth * bytes, kAlwaysFits); }

Result<Normalizer> Normalizer::Create(const fb::Tokenizer& tables) {
  Normalizer normalizer;
  if (tables.normalizer() == nullptr) return normalizer;
  for (const fb::NormalizerStep* table : *tables.normalizer()) {
    Step step;
    step.table = table;
    if (table->kind() == fb::NormalizerKind::Replace) {
      GRAFT_ASSIGN_OR_RETURN(Pattern pattern,
                             Pattern::Compile(View(table->pattern()), table->pattern_is_regex()));
      step.pattern.push_back(std::move(pattern));
    } else if (table->kind() == fb::NormalizerKind::Charsmap) {
      const flatbuffers::Vector<uint8_t>& bytes = *table->charsmap();
      GRAFT_ASSIGN_OR_RETURN(Charsmap map, Charsmap::Create({bytes.data(), size_t{bytes.size()}}));
      step.charsmap.push_back(map);
    }
    normalizer.steps_.push_back(std::move(step));
  }
  return normalizer;
}

Status Normalizer::Apply(std::string* text, PatternScratch& scratch, bool* lost_start) const {
  const size_t max_bytes = MaxRewrittenBytes(text->size());
  for (const Step& step : steps_) {
    switch (step.table->kind()) {
      case fb::NormalizerKind::Nfc:
        GRAFT_RETURN_IF_ERROR(Normalize(UTF8PROC_STABLE | UTF8PROC_COMPOSE, text));
        break;
      case fb::NormalizerKind::Nfd:
        GRAFT_RETURN_IF_ERROR(Normalize(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, text));
        break;
      case fb::NormalizerKind::Nfkc:
        GRAFT_RETURN_IF_ERROR(
            Normalize(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, text));
        break;
      case fb::NormalizerKind::Nfkd:
        GRAFT_RETURN_IF_ERROR(
            Normalize(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, text));
        break;
      case fb::NormalizerKind::Prepend:
        if (!text->empty()) text->insert(0, View(step.table->content()));
        break;
      case fb::NormalizerKind::Replace: {
        std::string replaced;
        GRAFT_RETURN_IF_ERROR(ReplaceMatches(*text, step.pattern.front(),
                                             View(step.table->content()), scratch, max_bytes,
                                             &replaced, lost_start));
        *text = std::move(replaced);
        break;
      }
      case fb::NormalizerKind::Lowercase:
        Lowercase(text);
        break;
      case fb::NormalizerKind::Strip:
        *lost_start |= Strip(step.table->strip_left(), step.table->strip_right(), text);
        break;
      case fb::NormalizerKind::CleanText:
        CleanText(text, lost_start);
        break;
      case fb::NormalizerKind::SpaceIdeographs:
        SpaceIdeographs(text);
        break;
      case fb::NormalizerKind::DropMarks:
        DropMarks(step.table->nonspacing_only(), text, lost_start);
        break;
      case fb::NormalizerKind::Charsmap:
        GRAFT_RETURN_IF_ERROR(step.charsmap.front().Apply(max_bytes, text));
        break;
    }
    if (!scratch.Pay(text->size())) return scratch.why();
    if (text->size() > max_bytes) {
      return Error(StatusCode::kCorrupt, "normalizing makes a text grow to %zu bytes, beyond %zu",
                   text->size(), max_bytes);
    }
  }
  return OkStatus();
}

}  // namespace graft::runtime
