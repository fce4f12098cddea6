// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_tokenizer.h"

#include <cinttypes>
#include <cmath>
#include <string_view>

#include "schema/generated/tokenizer_generated.h"

namespace graft::schema {
namespace {

template <typename T>
uint32_t SizeOf(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr ? 0 : vector->size();
}

size_t LengthOf(const flatbuffers::String* text) { return text == nullptr ? 0 : text->size(); }

/// The checks that steps of every kind share. `what` and `index` name the step in messages.
Status CheckStep(const char* what, uint32_t index, uint8_t kind, uint8_t last_kind,
                 const flatbuffers::String* pattern, bool pattern_is_regex,
                 const flatbuffers::String* content) {
  if (kind > last_kind) {
    return Error(StatusCode::kUnsupported, "%s step %u is of kind %u, the last known is %u", what,
                 index, kind, last_kind);
  }
  const size_t most = pattern_is_regex ? kMaxPatternBytes : kMaxStepContentBytes;
  if (LengthOf(pattern) > most) {
    return Error(StatusCode::kCorrupt, "%s step %u: pattern of %zu bytes exceeds %zu", what, index,
                 LengthOf(pattern), most);
  }
  if (LengthOf(content) > kMaxStepContentBytes) {
    return Error(StatusCode::kCorrupt, "%s step %u: content of %zu bytes exceeds %zu", what, index,
                 LengthOf(content), kMaxStepContentBytes);
  }
  return OkStatus();
}

Status CheckStepCount(const char* what, uint32_t count) {
  if (count <= kMaxTokenizerSteps) return OkStatus();
  return Error(StatusCode::kCorrupt, "%u %s steps exceed %u", count, what, kMaxTokenizerSteps);
}

Status RequireText(const char* what, uint32_t index, const char* field,
                   const flatbuffers::String* text) {
  if (LengthOf(text) > 0) return OkStatus();
  return Error(StatusCode::kCorrupt, "%s step %u needs a %s", what, index, field);
}

Status CheckNormalizer(const fb::Tokenizer& tokenizer) {
  const char* what = "normalizer";
  const uint32_t count = SizeOf(tokenizer.normalizer());
  GRAFT_RETURN_IF_ERROR(CheckStepCount(what, count));
  for (uint32_t i = 0; i < count; ++i) {
    const fb::NormalizerStep& step = *tokenizer.normalizer()->Get(i);
    GRAFT_RETURN_IF_ERROR(CheckStep(what, i, static_cast<uint8_t>(step.kind()),
                                    static_cast<uint8_t>(fb::NormalizerKind::MAX), step.pattern(),
                                    step.pattern_is_regex(), step.content()));
    if (step.kind() == fb::NormalizerKind::Replace) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "pattern", step.pattern()));
    }
    const uint32_t charsmap_bytes = SizeOf(step.charsmap());
    if (charsmap_bytes > kMaxCharsmapBytes ||
        (step.kind() == fb::NormalizerKind::Charsmap && charsmap_bytes == 0)) {
      return Error(StatusCode::kCorrupt, "%s step %u: charsmap of %u bytes, not between 1 and %zu",
                   what, i, charsmap_bytes, kMaxCharsmapBytes);
    }
  }
  return OkStatus();
}

Status CheckPreTokenizer(const fb::Tokenizer& tokenizer) {
  const char* what = "pre-tokenizer";
  const uint32_t count = SizeOf(tokenizer.pre_tokenizer());
  GRAFT_RETURN_IF_ERROR(CheckStepCount(what, count));
  for (uint32_t i = 0; i < count; ++i) {
    const fb::PreTokenizerStep& step = *tokenizer.pre_tokenizer()->Get(i);
    GRAFT_RETURN_IF_ERROR(CheckStep(what, i, static_cast<uint8_t>(step.kind()),
                                    static_cast<uint8_t>(fb::PreTokenizerKind::MAX), step.pattern(),
                                    step.pattern_is_regex(), step.content()));
    if (step.behavior() > fb::SplitBehavior::MAX) {
      return Error(StatusCode::kUnsupported, "%s step %u has unknown behavior %u", what, i,
                   static_cast<unsigned>(step.behavior()));
    }
    if (step.prepend_scheme() > fb::PrependScheme::MAX) {
      return Error(StatusCode::kUnsupported, "%s step %u has unknown prepend scheme %u", what, i,
                   static_cast<unsigned>(step.prepend_scheme()));
    }
    if (step.kind() == fb::PreTokenizerKind::Split) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "pattern", step.pattern()));
    }
    if (step.kind() == fb::PreTokenizerKind::Metaspace) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "content", step.content()));
    }
  }
  return OkStatus();
}

Status CheckDecoder(const fb::Tokenizer& tokenizer) {
  const char* what = "decoder";
  const uint32_t count = SizeOf(tokenizer.decoder());
  GRAFT_RETURN_IF_ERROR(CheckStepCount(what, count));
  for (uint32_t i = 0; i < count; ++i) {
    const fb::DecoderStep& step = *tokenizer.decoder()->Get(i);
    GRAFT_RETURN_IF_ERROR(CheckStep(what, i, static_cast<uint8_t>(step.kind()),
                                    static_cast<uint8_t>(fb::DecoderKind::MAX), step.pattern(),
                                    step.pattern_is_regex(), step.content()));
    if (step.prepend_scheme() > fb::PrependScheme::MAX) {
      return Error(StatusCode::kUnsupported, "%s step %u has unknown prepend scheme %u", what, i,
                   static_cast<unsigned>(step.prepend_scheme()));
    }
    if (step.kind() == fb::DecoderKind::Replace) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "pattern", step.pattern()));
    }
    if (step.kind() == fb::DecoderKind::Strip || step.kind() == fb::DecoderKind::Metaspace ||
        step.kind() == fb::DecoderKind::WordPiece) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "content", step.content()));
    }
    if (step.strip_left() > kMaxStrip || step.strip_right() > kMaxStrip) {
      return Error(StatusCode::kCorrupt, "%s step %u strips more than %u", what, i, kMaxStrip);
    }
  }
  return OkStatus();
}

/// The token table; *count receives how many tokens there are.
Status CheckTokens(const fb::Tokenizer& tokenizer, uint32_t* count) {
  const flatbuffers::Vector<uint32_t>& offsets = *tokenizer.token_offsets();
  if (offsets.size() < 2) {
    return Error(StatusCode::kCorrupt, "token_offsets has %u entries, at least 2 are needed",
                 offsets.size());
  }
  *count = offsets.size() - 1;
  if (*count > kMaxTokens) {
    return Error(StatusCode::kCorrupt, "%u tokens exceed %u", *count, kMaxTokens);
  }
  if (offsets.Get(0) != 0) {
    return Error(StatusCode::kCorrupt, "token_offsets starts at %u rather than 0", offsets.Get(0));
  }
  for (uint32_t i = 0; i < *count; ++i) {
    if (offsets.Get(i) > offsets.Get(i + 1)) {
      return Error(StatusCode::kCorrupt, "token %u starts at byte %u and ends at %u", i,
                   offsets.Get(i), offsets.Get(i + 1));
    }
    if (offsets.Get(i + 1) - offsets.Get(i) > kMaxTokenBytes) {
      return Error(StatusCode::kCorrupt, "token %u has %u bytes, more than %u", i,
                   offsets.Get(i + 1) - offsets.Get(i), kMaxTokenBytes);
    }
  }
  if (offsets.Get(*count) != tokenizer.token_bytes()->size()) {
    return Error(StatusCode::kCorrupt, "tokens end at byte %u of the %u in token_bytes",
                 offsets.Get(*count), tokenizer.token_bytes()->size());
  }
  return OkStatus();
}

Status CheckIds(const char* what, const flatbuffers::Vector<uint32_t>* ids, uint32_t tokens) {
  for (uint32_t i = 0; i < SizeOf(ids); ++i) {
    if (ids->Get(i) >= tokens) {
      return Error(StatusCode::kCorrupt, "%s[%u] is %u, there are %u tokens", what, i, ids->Get(i),
                   tokens);
    }
  }
  return OkStatus();
}

Status CheckMerges(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  const uint32_t merges = tokenizer.merges()->size();
  const uint32_t results = tokenizer.merge_results()->size();
  if (merges % 2 != 0 || merges / 2 != results) {
    return Error(StatusCode::kCorrupt, "%u ids in merges do not pair with %u merge_results", merges,
                 results);
  }
  if (results > kMaxTokens) {
    return Error(StatusCode::kCorrupt, "%u merges exceed %u", results, kMaxTokens);
  }
  GRAFT_RETURN_IF_ERROR(CheckIds("merges", tokenizer.merges(), tokens));
  return CheckIds("merge_results", tokenizer.merge_results(), tokens);
}

Status CheckAddedTokens(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  const uint32_t count = SizeOf(tokenizer.added_tokens());
  if (count > tokens) {
    return Error(StatusCode::kCorrupt, "%u added tokens among %u tokens", count, tokens);
  }
  for (uint32_t i = 0; i < count; ++i) {
    const fb::AddedToken& added = *tokenizer.added_tokens()->Get(i);
    if (added.id() >= tokens) {
      return Error(StatusCode::kCorrupt, "added token %u has id %u, there are %u tokens", i,
                   added.id(), tokens);
    }
    const size_t bytes = added.content()->size();
    if (bytes == 0 || bytes > kMaxAddedTokenBytes) {
      return Error(StatusCode::kCorrupt, "added token %u has %zu bytes, not between 1 and %zu", i,
                   bytes, kMaxAddedTokenBytes);
    }
  }
  return OkStatus();
}

Status CheckSpecialIds(const char* what, const flatbuffers::Vector<uint32_t>* ids,
                       uint32_t tokens) {
  if (SizeOf(ids) > kMaxSpecialIds) {
    return Error(StatusCode::kCorrupt, "%u %s exceed %u", SizeOf(ids), what, kMaxSpecialIds);
  }
  return CheckIds(what, ids, tokens);
}

std::string_view BytesOf(const fb::Tokenizer& tokenizer, uint32_t id) {
  const uint32_t begin = tokenizer.token_offsets()->Get(id);
  const uint32_t end = tokenizer.token_offsets()->Get(id + 1);
  return {reinterpret_cast<const char*>(tokenizer.token_bytes()->data()) + begin, end - begin};
}

/// The tokens that WordPiece and Unigram search: ascending, so that a search may halve them.
Status CheckOrder(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  GRAFT_RETURN_IF_ERROR(CheckIds("token_order", tokenizer.token_order(), tokens));
  std::string_view before;
  for (uint32_t i = 0; i < SizeOf(tokenizer.token_order()); ++i) {
    const std::string_view bytes = BytesOf(tokenizer, tokenizer.token_order()->Get(i));
    if (bytes.size() > kMaxOrderedTokenBytes) {
      return Error(StatusCode::kCorrupt, "token %u has %zu bytes, more than %u",
                   tokenizer.token_order()->Get(i), bytes.size(), kMaxOrderedTokenBytes);
    }
    if (bytes <= before) {  // the first must not be empty
      return Error(StatusCode::kCorrupt, "token_order[%u] does not come after the one before it",
                   i);
    }
    before = bytes;
  }
  return OkStatus();
}

Status CheckWordPiece(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  GRAFT_RETURN_IF_ERROR(CheckOrder(tokenizer, tokens));
  if (SizeOf(tokenizer.token_order()) == 0) {
    return Status(StatusCode::kCorrupt, "token_order is empty");
  }
  if (tokenizer.unknown_id() < 0) {
    return Status(StatusCode::kCorrupt, "unknown_id is missing, which WordPiece needs");
  }
  if (tokenizer.max_word_characters() > kMaxWordCharacters) {
    return Error(StatusCode::kCorrupt, "max_word_characters is %u, more than %u",
                 tokenizer.max_word_characters(), kMaxWordCharacters);
  }
  if (LengthOf(tokenizer.continuing_prefix()) > kMaxOrderedTokenBytes) {
    return Error(StatusCode::kCorrupt, "continuing_prefix of %zu bytes exceeds %u",
                 LengthOf(tokenizer.continuing_prefix()), kMaxOrderedTokenBytes);
  }
  return OkStatus();
}

Status CheckUnigram(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  GRAFT_RETURN_IF_ERROR(CheckOrder(tokenizer, tokens));
  if (SizeOf(tokenizer.token_order()) == 0) {
    return Status(StatusCode::kCorrupt, "token_order is empty");
  }
  if (SizeOf(tokenizer.scores()) != tokens) {
    return Error(StatusCode::kCorrupt, "%u scores of %u tokens", SizeOf(tokenizer.scores()),
                 tokens);
  }
  for (uint32_t i = 0; i < tokens; ++i) {
    if (!std::isfinite(tokenizer.scores()->Get(i))) {
      return Error(StatusCode::kCorrupt, "scores[%u] is not finite", i);
    }
  }
  return OkStatus();
}

/// What is made of `texts` texts: each of them once, and tokens that exist.
Status CheckTemplate(const char* what, const flatbuffers::Vector<const fb::TemplatePart*>* parts,
                     int texts, uint32_t tokens) {
  if (SizeOf(parts) == 0) return OkStatus();
  if (SizeOf(parts) > 2 * kMaxSpecialIds) {
    return Error(StatusCode::kCorrupt, "%s has %u parts, more than %u", what, SizeOf(parts),
                 2 * kMaxSpecialIds);
  }
  int seen[2] = {0, 0};
  for (uint32_t i = 0; i < parts->size(); ++i) {
    const fb::TemplatePart& part = *parts->Get(i);
    if (part.id() < -texts || part.id() >= static_cast<int64_t>(tokens)) {
      return Error(StatusCode::kCorrupt, "%s[%u] is %d, there are %u tokens and %d texts", what, i,
                   part.id(), tokens, texts);
    }
    if (part.type_id() > kMaxTypeId) {
      return Error(StatusCode::kCorrupt, "%s[%u] is of type %u, more than %u", what, i,
                   part.type_id(), kMaxTypeId);
    }
    if (part.id() < 0) ++seen[-part.id() - 1];
  }
  for (int text = 0; text < texts; ++text) {
    if (seen[text] == 1) continue;
    return Error(StatusCode::kCorrupt, "%s has text %d %d times", what, text + 1, seen[text]);
  }
  return OkStatus();
}

/// single_template says what prefix_ids and suffix_ids say, and the types.
Status CheckSingleTemplate(const fb::Tokenizer& tokenizer, uint32_t tokens) {
  const auto* parts = tokenizer.single_template();
  GRAFT_RETURN_IF_ERROR(CheckTemplate("single_template", parts, 1, tokens));
  if (SizeOf(parts) == 0) return OkStatus();
  const uint32_t prefix = SizeOf(tokenizer.prefix_ids());
  const uint32_t suffix = SizeOf(tokenizer.suffix_ids());
  bool agrees = parts->size() == prefix + 1 + suffix;
  for (uint32_t i = 0; agrees && i < parts->size(); ++i) {
    const int64_t id = i < prefix    ? int64_t{tokenizer.prefix_ids()->Get(i)}
                       : i == prefix ? int64_t{-1}
                                     : int64_t{tokenizer.suffix_ids()->Get(i - prefix - 1)};
    agrees = parts->Get(i)->id() == id;
  }
  if (agrees) return OkStatus();
  return Status(StatusCode::kCorrupt, "single_template contradicts prefix_ids and suffix_ids");
}

}  // namespace

Status VerifyTokenizer(const fb::Tokenizer& tokenizer, uint64_t vocabulary) {
  if (tokenizer.kind() > fb::TokenizerKind::MAX) {
    return Error(StatusCode::kUnsupported, "kind %u is unknown, the last known is %u",
                 static_cast<unsigned>(tokenizer.kind()),
                 static_cast<unsigned>(fb::TokenizerKind::MAX));
  }
  uint32_t tokens = 0;
  GRAFT_RETURN_IF_ERROR(CheckTokens(tokenizer, &tokens));
  if (vocabulary != 0 && tokens > vocabulary) {
    return Error(StatusCode::kMismatch, "%u tokens, but the model's embedding has %" PRIu64 " rows",
                 tokens, vocabulary);
  }
  GRAFT_RETURN_IF_ERROR(CheckMerges(tokenizer, tokens));
  GRAFT_RETURN_IF_ERROR(CheckAddedTokens(tokenizer, tokens));
  GRAFT_RETURN_IF_ERROR(CheckSpecialIds("prefix_ids", tokenizer.prefix_ids(), tokens));
  GRAFT_RETURN_IF_ERROR(CheckSpecialIds("suffix_ids", tokenizer.suffix_ids(), tokens));
  if (tokenizer.unknown_id() < -1 || tokenizer.unknown_id() >= static_cast<int64_t>(tokens)) {
    return Error(StatusCode::kCorrupt, "unknown_id is %d, there are %u tokens",
                 tokenizer.unknown_id(), tokens);
  }
  if (tokenizer.kind() == fb::TokenizerKind::WordPiece) {
    GRAFT_RETURN_IF_ERROR(CheckWordPiece(tokenizer, tokens));
  }
  if (tokenizer.kind() == fb::TokenizerKind::Unigram) {
    GRAFT_RETURN_IF_ERROR(CheckUnigram(tokenizer, tokens));
  }
  GRAFT_RETURN_IF_ERROR(CheckSingleTemplate(tokenizer, tokens));
  GRAFT_RETURN_IF_ERROR(CheckTemplate("pair_template", tokenizer.pair_template(), 2, tokens));
  GRAFT_RETURN_IF_ERROR(CheckNormalizer(tokenizer));
  GRAFT_RETURN_IF_ERROR(CheckPreTokenizer(tokenizer));
  return CheckDecoder(tokenizer);
}

}  // namespace graft::schema
