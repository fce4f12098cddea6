// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/target_files.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxToken = int64_t{1} << 24;

Result<int64_t> TokenAt(const JsonValue& list, size_t index) {
  if (index >= list.size()) return list.Fail("is empty");
  GRAFT_ASSIGN_OR_RETURN(const int64_t token, list.at(index).AsInt());
  if (token < 0 || token > kMaxToken) return list.at(index).Fail("is no token's id");
  return token;
}

// Looks a member up in generation_config.json, then in config.json.
class Settings {
 public:
  Settings(const JsonDocument* generation, const JsonValue& config)
      : generation_(generation), config_(config) {}

  JsonValue Find(const char* key) const {
    if (generation_ != nullptr && !generation_->root().Find(key).IsNull())
      return generation_->root().Find(key);
    return config_.Find(key);
  }

  // The object that has `key`, for the accessors that name both.
  JsonValue Owner(const char* key) const {
    const bool generation = generation_ != nullptr && !generation_->root().Find(key).IsNull();
    return generation ? generation_->root() : config_;
  }

  /// A token's id; -1 where there is none.
  Result<int64_t> Token(const char* key) const {
    if (Find(key).IsNull()) return int64_t{-1};
    if (Find(key).IsArray()) return TokenAt(Find(key), 0);  // of several, the first
    return Owner(key).GetIntIn(key, 0, kMaxToken);
  }

 private:
  const JsonDocument* generation_;
  JsonValue config_;
};

Status ReadTokens(const JsonValue& list, std::vector<uint32_t>* tokens) {
  if (list.IsNull()) return OkStatus();
  if (!list.IsArray()) return list.Fail("is no list of tokens");
  for (size_t i = 0; i < list.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t token, list.at(i).AsInt());
    if (token == -1) continue;  // "none" in old files
    if (token < 0 || token > kMaxToken) return list.at(i).Fail("is no token's id");
    tokens->push_back(static_cast<uint32_t>(token));
  }
  return OkStatus();
}

// Words of one token are never chosen; longer ones are left to whoever reads the text.
Status ReadBadWords(const JsonValue& words, std::vector<uint32_t>* tokens) {
  if (!words.IsArray()) return OkStatus();
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words.at(i).IsArray() || words.at(i).size() != 1) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t token, TokenAt(words.at(i), 0));
    tokens->push_back(static_cast<uint32_t>(token));
  }
  return OkStatus();
}

// Spectrograms that do not come to what the encoder takes are left to the caller.
Status ReadSpectrograms(const fs::path& folder, TargetDescription* target) {
  SoundDescription& sound = *target->sound;
  std::error_code ignored;
  bool fits = true;
  if (const fs::path file = folder / "preprocessor_config.json"; fs::exists(file, ignored)) {
    GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
    const JsonValue root = document->root();
    constexpr int64_t kMost = 1 << 20;
    GRAFT_ASSIGN_OR_RETURN(sound.sample_rate,
                           root.GetIntIn("sampling_rate", 1, kMost, sound.sample_rate));
    GRAFT_ASSIGN_OR_RETURN(sound.fft_samples, root.GetIntIn("n_fft", 2, 8192, sound.fft_samples));
    GRAFT_ASSIGN_OR_RETURN(sound.hop_samples,
                           root.GetIntIn("hop_length", 1, 8192, sound.hop_samples));
    GRAFT_ASSIGN_OR_RETURN(const int64_t bands,
                           root.GetIntIn("feature_size", 1, kMost, sound.mels));
    GRAFT_ASSIGN_OR_RETURN(const double dither, root.GetDouble("dither", 0.0));
    fits = bands == sound.mels && dither == 0.0;
  }
  fits = fits && sound.fft_samples % 2 == 0 && sound.hop_samples <= sound.fft_samples &&
         sound.frames <= (1 << 16) && sound.frames * sound.hop_samples >= sound.fft_samples;
  if (!fits) target->sound.reset();
  return OkStatus();
}

// "<|en|>" is en.
std::string LanguageName(std::string_view token) {
  if (token.starts_with("<|") && token.ends_with("|>") && token.size() > 4)
    token = token.substr(2, token.size() - 4);
  return std::string(token);
}

// The tokens of languages and tasks that Whisper's generation_config.json lists.
Status ReadSpeechTokens(const Settings& settings, TargetDescription* target) {
  SoundDescription& sound = *target->sound;
  const JsonValue languages = settings.Find("lang_to_id");
  for (size_t i = 0; i < languages.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t token, TokenAt(languages, i));
    target->languages.push_back({LanguageName(languages.key(i)), token});
  }
  for (const LanguageToken& known : target->languages) {
    if (known.language == "en") target->target_language = known.language;
  }
  if (!target->languages.empty())
    target->language_place = TargetDescription::LanguagePlace::kTarget;
  const JsonValue tasks = settings.Find("task_to_id");
  for (const auto& [name, token] : {std::pair{"transcribe", &sound.transcribe_token},
                                    std::pair{"translate", &sound.translate_token}}) {
    if (!tasks.Has(name)) continue;
    GRAFT_ASSIGN_OR_RETURN(*token, tasks.GetIntIn(name, 0, kMaxToken));
  }
  GRAFT_ASSIGN_OR_RETURN(sound.no_timestamps_token, settings.Token("no_timestamps_token_id"));
  if (sound.no_timestamps_token >= 0) sound.first_timestamp_token = sound.no_timestamps_token + 1;
  return OkStatus();
}

// "de" of "__de__"; "deu_Latn" and "de_DE" as they are; empty: no language.
std::string LanguageOf(const std::string& token) {
  const auto all = [](std::string_view text, auto is) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is);
  };
  const auto low = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto high = [](char c) { return c >= 'A' && c <= 'Z'; };
  const std::string_view text = token;
  if (text.size() > 4 && text.size() <= 12 && text.starts_with("__") && text.ends_with("__"))
    return token.substr(2, token.size() - 4);
  const size_t bar = text.find('_');
  if (bar != 2 && bar != 3) return {};
  const std::string_view script = text.substr(bar + 1);
  const bool nllb = bar == 3 && script.size() == 4 && high(script[0]) && all(script.substr(1), low);
  const bool mbart = bar == 2 && script.size() == 2 && all(script, high);
  return all(text.substr(0, bar), low) && (nllb || mbart) ? token : std::string();
}

}  // namespace

Status ReadTarget(const fs::path& folder, const fs::path& sounds, const JsonValue& config,
                  TargetDescription* target) {
  std::unique_ptr<JsonDocument> generation;
  std::error_code ignored;
  if (const fs::path file = folder / "generation_config.json"; fs::exists(file, ignored)) {
    GRAFT_ASSIGN_OR_RETURN(generation, JsonDocument::Read(file));
  }
  const Settings settings(generation.get(), config);
  GRAFT_ASSIGN_OR_RETURN(int64_t start, settings.Token("decoder_start_token_id"));
  if (start < 0) {
    GRAFT_ASSIGN_OR_RETURN(start, settings.Token("bos_token_id"));
  }
  if (start < 0) return config.Fail("has neither decoder_start_token_id nor bos_token_id");
  target->start_tokens = {static_cast<uint32_t>(start)};
  GRAFT_ASSIGN_OR_RETURN(const int64_t first, settings.Token("forced_bos_token_id"));
  if (first >= 0) target->start_tokens.push_back(static_cast<uint32_t>(first));
  GRAFT_ASSIGN_OR_RETURN(target->forced_end_token, settings.Token("forced_eos_token_id"));
  GRAFT_RETURN_IF_ERROR(ReadTokens(settings.Find("suppress_tokens"), &target->suppressed_tokens));
  GRAFT_RETURN_IF_ERROR(ReadBadWords(settings.Find("bad_words_ids"), &target->suppressed_tokens));
  GRAFT_RETURN_IF_ERROR(
      ReadTokens(settings.Find("begin_suppress_tokens"), &target->first_suppressed_tokens));
  if (!target->sound) return OkStatus();
  GRAFT_RETURN_IF_ERROR(ReadSpeechTokens(settings, target));
  return ReadSpectrograms(sounds, target);
}

Status AddLanguages(const JsonValue& added_tokens, const JsonValue& settings,
                    TargetDescription* target) {
  for (size_t i = 0; i < added_tokens.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const std::string text, added_tokens.at(i).GetString("content"));
    const std::string name = LanguageOf(text);
    if (name.empty()) continue;
    GRAFT_ASSIGN_OR_RETURN(const int64_t token, added_tokens.at(i).GetIntIn("id", 0, kMaxToken));
    target->languages.push_back({name, token});
  }
  if (target->languages.empty()) return OkStatus();
  target->language_place = TargetDescription::LanguagePlace::kSourceAndTarget;
  const auto known = [target](const std::string& name) {
    return std::any_of(target->languages.begin(), target->languages.end(),
                       [&](const LanguageToken& language) { return language.language == name; });
  };
  GRAFT_ASSIGN_OR_RETURN(const std::string from, settings.GetString("src_lang", ""));
  GRAFT_ASSIGN_OR_RETURN(const std::string to, settings.GetString("tgt_lang", ""));
  if (known(from)) target->source_language = from;
  if (known(to)) target->target_language = to;
  // What generation_config.json forces may be a language, in whose place another can be asked for.
  for (const LanguageToken& language : target->languages) {
    if (target->start_tokens.size() < 2 || target->start_tokens.back() != language.token) continue;
    target->start_tokens.pop_back();
    target->target_language = language.language;
  }
  return OkStatus();
}

}  // namespace graft::converter
