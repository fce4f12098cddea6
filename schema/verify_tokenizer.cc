// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_tokenizer.h"

#include <cinttypes>

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
                 const flatbuffers::String* pattern, const flatbuffers::String* content) {
  if (kind > last_kind) {
    return Error(StatusCode::kUnsupported, "%s step %u is of kind %u, the last known is %u", what,
                 index, kind, last_kind);
  }
  if (LengthOf(pattern) > kMaxPatternBytes) {
    return Error(StatusCode::kCorrupt, "%s step %u: pattern of %zu bytes exceeds %zu", what, index,
                 LengthOf(pattern), kMaxPatternBytes);
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
                                    step.content()));
    if (step.kind() == fb::NormalizerKind::Replace) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "pattern", step.pattern()));
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
                                    step.content()));
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
                                    step.content()));
    if (step.prepend_scheme() > fb::PrependScheme::MAX) {
      return Error(StatusCode::kUnsupported, "%s step %u has unknown prepend scheme %u", what, i,
                   static_cast<unsigned>(step.prepend_scheme()));
    }
    if (step.kind() == fb::DecoderKind::Replace) {
      GRAFT_RETURN_IF_ERROR(RequireText(what, i, "pattern", step.pattern()));
    }
    if (step.kind() == fb::DecoderKind::Strip || step.kind() == fb::DecoderKind::Metaspace) {
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
  GRAFT_RETURN_IF_ERROR(CheckNormalizer(tokenizer));
  GRAFT_RETURN_IF_ERROR(CheckPreTokenizer(tokenizer));
  return CheckDecoder(tokenizer);
}

}  // namespace graft::schema
