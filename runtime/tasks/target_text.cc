// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/target_text.h"

#include <algorithm>
#include <limits>
#include <string>

#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

const fb::TargetText* TargetOf(const Model& model) {
  return model.verified().model().task()->target();
}

std::span<const uint32_t> SpanOf(const flatbuffers::Vector<uint32_t>* tokens) {
  return tokens == nullptr ? std::span<const uint32_t>()
                           : std::span(tokens->data(), tokens->size());
}

bool IsLanguage(const fb::TargetText& target, int32_t id) {
  for (const fb::LanguageToken* known : *target.languages()) {
    if (known->token() == static_cast<uint32_t>(id)) return true;
  }
  return false;
}

// The token of `asked`, or of the `usual` language; -1: neither is there, and none is put.
Result<int32_t> LanguageOf(const fb::TargetText& target, std::string_view asked,
                           const flatbuffers::String* usual) {
  const auto& languages = *target.languages();
  if (asked.empty() && usual == nullptr) return -1;
  const std::string_view wanted = asked.empty() ? usual->string_view() : asked;
  std::string names;
  for (const fb::LanguageToken* known : languages) {
    if (known->language()->string_view() == wanted) return static_cast<int32_t>(known->token());
    if (names.size() < 200) names += (names.empty() ? "" : ", ") + known->language()->str();
  }
  return Error(StatusCode::kInvalidArgument,
               "the model has no language '%.64s'; it has %s, %u in all",
               std::string(wanted).c_str(), names.c_str(), languages.size());
}

Status RefuseLanguage(std::string_view language) {
  if (language.empty()) return OkStatus();
  return Error(StatusCode::kInvalidArgument,
               "the model has no tokens for languages, such as '%.64s'",
               std::string(language).c_str());
}

}  // namespace

Result<std::vector<int32_t>> EncodeSource(const TextModel& model, std::string_view text,
                                          std::string_view language) {
  const fb::TargetText* target = TargetOf(*model.model());
  if (target == nullptr || model.model()->verified().facts().source_ids == nullptr)
    return Error(StatusCode::kUnsupported, "the model takes no source text");
  GRAFT_ASSIGN_OR_RETURN(std::vector<int32_t> ids, model.Encode(text, /*add_special=*/true));
  if (target->language_place() != fb::LanguagePlace::SourceAndTarget) {
    GRAFT_RETURN_IF_ERROR(RefuseLanguage(language));
    return ids;
  }
  GRAFT_ASSIGN_OR_RETURN(const int32_t token,
                         LanguageOf(*target, language, target->source_language()));
  // The tokenizer may have put the token of some language around the text.
  if (token < 0) return ids;
  if (!ids.empty() && IsLanguage(*target, ids.front())) {
    ids.front() = token;
  } else if (!ids.empty() && IsLanguage(*target, ids.back())) {
    ids.back() = token;
  } else {
    ids.insert(ids.begin(), token);
  }
  return ids;
}

Result<std::vector<int32_t>> StartTokens(const Model& model, std::string_view language,
                                         const SpeechTask& speech) {
  const fb::TargetText* target = TargetOf(model);
  if (target == nullptr) return Error(StatusCode::kUnsupported, "the model answers to no source");
  std::vector<int32_t> ids;
  for (const uint32_t token : *target->start_tokens()) ids.push_back(static_cast<int32_t>(token));
  if (target->language_place() == fb::LanguagePlace::Nowhere) {
    GRAFT_RETURN_IF_ERROR(RefuseLanguage(language));
  } else {
    GRAFT_ASSIGN_OR_RETURN(const int32_t token,
                           LanguageOf(*target, language, target->target_language()));
    const bool at_end = target->language_place() == fb::LanguagePlace::SourceAndTarget;
    if (token >= 0) ids.insert(at_end ? ids.end() : ids.begin() + 1, token);
  }
  if (const fb::AudioInput* audio = target->audio(); audio != nullptr) {
    const int32_t task = speech.translate ? audio->translate_token() : audio->transcribe_token();
    if (task >= 0) ids.push_back(task);
    if (!speech.timestamps && audio->no_timestamps_token() >= 0)
      ids.push_back(audio->no_timestamps_token());
  }
  return ids;
}

int32_t ForcedEndToken(const Model& model) {
  const fb::TargetText* target = TargetOf(model);
  return target == nullptr ? -1 : target->forced_end_token();
}

TokenFilter::TokenFilter(const Model& model) {
  const fb::TargetText* target = TargetOf(model);
  if (target == nullptr) return;
  always_ = SpanOf(target->suppressed_tokens());
  first_ = SpanOf(target->first_suppressed_tokens());
}

std::span<const float> TokenFilter::Apply(std::span<const float> logits, bool is_first) {
  if (always_.empty() && (first_.empty() || !is_first)) return logits;
  allowed_.assign(logits.begin(), logits.end());
  for (const std::span<const uint32_t> tokens : {always_, is_first ? first_ : always_}) {
    for (const uint32_t token : tokens)
      if (token < allowed_.size()) allowed_[token] = -std::numeric_limits<float>::infinity();
  }
  return allowed_;
}

}  // namespace graft::runtime
