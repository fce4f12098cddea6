// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/transcribe.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/audio/log_mel.h"
#include "runtime/tasks/target_text.h"
#include "runtime/tasks/timestamp_rules.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

constexpr double kTimeStep = 0.02;  // seconds from one time's token to the next

uint64_t NanosecondsSince(std::chrono::steady_clock::time_point start) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start)
          .count());
}

const fb::AudioInput* AudioOf(const Model& model) {
  const fb::TargetText* target = model.verified().model().task()->target();
  return target == nullptr ? nullptr : target->audio();
}

class Transcription {
 public:
  Transcription(Session& session, const TextModel& model, const TranscribeOptions& options,
                const TranscriptCallback& callback)
      : session_(session),
        model_(*model.model()),
        tokenizer_(*model.tokenizer()),
        audio_(*AudioOf(model_)),
        options_(options),
        callback_(callback),
        sampler_(options.sampling),
        filter_(model_),
        log_mel_({audio_.sample_rate(), audio_.fft_samples(), audio_.hop_samples(), audio_.mels(),
                  audio_.frames()}),
        features_(size_t{audio_.mels()} * audio_.frames()) {}

  Result<TranscribeResult> Run(std::span<const float> samples) {
    const size_t window = size_t{audio_.frames()} * audio_.hop_samples();
    GRAFT_RETURN_IF_ERROR(CheckTask());
    for (size_t offset = 0; offset < samples.size() && !is_stopped_;) {
      const std::span<const float> rest = samples.subspan(offset);
      const std::span<const float> now = rest.first(std::min(rest.size(), window));
      GRAFT_RETURN_IF_ERROR(Listen(now));
      if (prompt_.empty()) GRAFT_RETURN_IF_ERROR(MakePrompt());
      is_last_ = rest.size() <= window;
      begin_s_ = SecondsOf(offset);
      end_s_ = SecondsOf(offset + now.size());
      GRAFT_ASSIGN_OR_RETURN(const double said_s, Write());
      ++result_.windows;
      const auto said = static_cast<size_t>(said_s * static_cast<double>(audio_.sample_rate()));
      offset += is_last_ || said == 0 ? window : std::min(said, window);
    }
    return std::move(result_);
  }

 private:
  double SecondsOf(size_t samples) const {
    return static_cast<double>(samples) / static_cast<double>(audio_.sample_rate());
  }

  Status CheckTask() const {
    const int32_t task = options_.translate ? audio_.translate_token() : audio_.transcribe_token();
    if (options_.translate && task < 0)
      return Error(StatusCode::kUnsupported, "the model does not translate");
    if (options_.timestamps && audio_.first_timestamp_token() < 0)
      return Error(StatusCode::kUnsupported, "the model writes no timestamps");
    return OkStatus();
  }

  Status Listen(std::span<const float> samples) {
    auto start = std::chrono::steady_clock::now();
    GRAFT_RETURN_IF_ERROR(log_mel_.Compute(samples, session_.cancel(), features_.data()));
    result_.features_ns += NanosecondsSince(start);
    start = std::chrono::steady_clock::now();
    TensorView view;
    view.type = ElementType::kFloat32;
    view.shape = {audio_.mels(), audio_.frames()};
    view.data = features_.data();
    GRAFT_RETURN_IF_ERROR(session_.SetSource(view));
    result_.encoder_ns += NanosecondsSince(start);
    return OkStatus();
  }

  // The language that follows the first token most likely.
  Result<std::string> HearLanguage() {
    const fb::TargetText& target = *model_.verified().model().task()->target();
    const auto first = static_cast<int32_t>(target.start_tokens()->Get(0));
    const float* logits = nullptr;
    GRAFT_RETURN_IF_ERROR(session_.Rewind(0));
    GRAFT_RETURN_IF_ERROR(session_.Append({&first, 1}, &logits));
    const fb::LanguageToken* best = target.languages()->Get(0);
    for (const fb::LanguageToken* known : *target.languages()) {
      if (logits[known->token()] > logits[best->token()]) best = known;
    }
    return best->language()->str();
  }

  // The start, the language, what is to be done, and that no times are wanted.
  Status MakePrompt() {
    const fb::TargetText& target = *model_.verified().model().task()->target();
    result_.language = options_.language;
    if (target.language_place() == fb::LanguagePlace::Target && result_.language.empty()) {
      GRAFT_ASSIGN_OR_RETURN(result_.language, HearLanguage());
    }
    GRAFT_ASSIGN_OR_RETURN(
        prompt_, StartTokens(model_, result_.language, {options_.translate, options_.timestamps}));
    return OkStatus();
  }

  Result<int32_t> Choose(std::span<const float> logits) {
    std::span<const float> allowed = filter_.Apply(logits, generated_.empty());
    if (options_.timestamps) {
      if (allowed.data() == logits.data()) {
        own_.assign(logits.begin(), logits.end());
      } else {
        own_.assign(allowed.begin(), allowed.end());
      }
      const TimestampRules rules(static_cast<uint32_t>(audio_.first_timestamp_token()),
                                 audio_.no_timestamps_token(), model_.end_tokens());
      rules.Apply(generated_, own_);
      allowed = own_;
    }
    return sampler_.Choose(allowed, generated_);
  }

  // Writes down the window; returns up to when it is written down, in seconds from its begin.
  Result<double> Write() {
    const auto start = std::chrono::steady_clock::now();
    generated_.clear();
    text_.emplace(tokenizer_, /*skip_special=*/true);
    const double whole_s = end_s_ - begin_s_;
    double phrase_s = 0.0;
    double closed_s = 0.0;  // where the last whole phrase ended
    const float* logits = nullptr;
    GRAFT_RETURN_IF_ERROR(session_.Rewind(0));
    GRAFT_RETURN_IF_ERROR(session_.Append(prompt_, &logits));
    bool is_open = false;  // a phrase began that did not end
    while (!is_stopped_ && session_.position() < session_.context_tokens()) {
      if (session_.cancelled()) return Status(StatusCode::kCancelled, "cancelled");
      GRAFT_ASSIGN_OR_RETURN(const int32_t id, Choose({logits, model_.vocabulary()}));
      if (IsEnd(id)) break;
      generated_.push_back(id);
      ++result_.generated_tokens;
      const int32_t first = audio_.first_timestamp_token();
      if (first >= 0 && id >= first) {
        const double time_s = kTimeStep * static_cast<double>(id - first);
        if (is_open) GRAFT_RETURN_IF_ERROR(EndPhrase(phrase_s, time_s));
        is_open = !is_open;
        if (!is_open) closed_s = time_s;
        phrase_s = time_s;
      } else {
        GRAFT_RETURN_IF_ERROR(text_->Append(id, &phrase_));
        if (!options_.timestamps) GiveOut(begin_s_, end_s_);
      }
      if (session_.position() + 1 >= session_.context_tokens()) break;
      GRAFT_RETURN_IF_ERROR(session_.Append({&id, 1}, &logits));
    }
    result_.decoder_ns += NanosecondsSince(start);
    // A phrase that more sound may end is heard again, with what follows.
    if (options_.timestamps && is_open && closed_s > 0.0 && !is_last_) {
      phrase_.clear();
      return closed_s;
    }
    if (!is_stopped_) GRAFT_RETURN_IF_ERROR(EndPhrase(phrase_s, whole_s));
    return whole_s;
  }

  bool IsEnd(int32_t id) const {
    const std::span<const uint32_t> ends = model_.end_tokens();
    return std::find(ends.begin(), ends.end(), static_cast<uint32_t>(id)) != ends.end();
  }

  void GiveOut(double begin_s, double end_s) {
    if (!phrase_.empty() && callback_ && !callback_(begin_s, end_s, phrase_)) is_stopped_ = true;
    phrase_.clear();
  }

  Status EndPhrase(double from_s, double to_s) {
    GRAFT_RETURN_IF_ERROR(text_->Finish(&phrase_));
    GiveOut(begin_s_ + from_s, begin_s_ + to_s);
    text_.emplace(tokenizer_, /*skip_special=*/true);
    return OkStatus();
  }

  Session& session_;
  const Model& model_;
  const Tokenizer& tokenizer_;
  const fb::AudioInput& audio_;
  const TranscribeOptions& options_;
  const TranscriptCallback& callback_;
  Sampler sampler_;
  TokenFilter filter_;
  LogMel log_mel_;
  std::vector<float> features_;
  std::vector<float> own_;
  std::vector<int32_t> prompt_, generated_;
  std::optional<TextStream> text_;
  std::string phrase_;
  double begin_s_ = 0.0, end_s_ = 0.0;
  bool is_stopped_ = false;
  bool is_last_ = false;  // the window is the sound's last
  TranscribeResult result_;
};

}  // namespace

uint32_t SampleRateOf(const Model& model) {
  const fb::AudioInput* audio = AudioOf(model);
  return audio == nullptr ? 0 : audio->sample_rate();
}

Result<TranscribeResult> Transcribe(Session& session, const TextModel& model,
                                    std::span<const float> samples,
                                    const TranscribeOptions& options,
                                    const TranscriptCallback& callback) {
  if (SampleRateOf(*model.model()) == 0)
    return Error(StatusCode::kUnsupported, "the model takes no sound");
  if (model.tokenizer() == nullptr)
    return Status(StatusCode::kFailedPrecondition, "the model's file has no tokenizer");
  if (samples.empty()) return Status(StatusCode::kInvalidArgument, "there are no samples");
  GRAFT_RETURN_IF_ERROR(CheckSamplingOptions(options.sampling));
  return Transcription(session, model, options, callback).Run(samples);
}

}  // namespace graft::runtime
