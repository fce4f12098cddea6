// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/generate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>

#include "runtime/base/utf8.h"
#include "runtime/tasks/speculation.h"
#include "runtime/tasks/stop_strings.h"
#include "runtime/tasks/target_text.h"

namespace graft::runtime {
namespace {

constexpr uint32_t kDefaultMaxTokens = 256;

uint64_t NanosecondsSince(std::chrono::steady_clock::time_point start) {
  const auto passed = std::chrono::steady_clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
}

Status CheckOptions(const Tokenizer* tokenizer, uint32_t vocabulary,
                    std::span<const int32_t> prompt, const GenerateOptions& options) {
  if (prompt.empty()) return Status(StatusCode::kInvalidArgument, "the prompt has no tokens");
  GRAFT_RETURN_IF_ERROR(CheckSamplingOptions(options.sampling));
  for (const TokenBias& bias : options.sampling.biases) {
    if (bias.id >= 0 && static_cast<uint32_t>(bias.id) < vocabulary) continue;
    return Error(StatusCode::kInvalidArgument, "token %d, of a bias, is not below %u", bias.id,
                 vocabulary);
  }
  if (options.constraint != nullptr && options.ignore_end) {
    return Status(StatusCode::kInvalidArgument,
                  "ignore_end and a constraint exclude each other: the end tells that the text is "
                  "whole");
  }
  if (!options.stop.empty() && tokenizer == nullptr) {
    return Status(StatusCode::kInvalidArgument,
                  "stop strings need a tokenizer, and the model has none");
  }
  for (size_t i = 0; i < options.stop.size(); ++i) {
    if (!IsValidUtf8(options.stop[i])) {
      return Error(StatusCode::kInvalidArgument, "stop string %zu is not UTF-8", i);
    }
  }
  return OkStatus();
}

/// The text of what is generated, as it becomes certain.
class TextOutput {
 public:
  TextOutput(const Tokenizer* tokenizer, const std::vector<std::string>& stop, bool shows_marks)
      : tokenizer_(tokenizer), shows_marks_(shows_marks), stop_(stop) {
    if (tokenizer != nullptr) stream_.emplace(*tokenizer, /*skip_special=*/!shows_marks);
  }

  /// Reads the prompt, so that the text that follows continues it: the first word keeps its space.
  Status SkipPrompt(std::span<const int32_t> prompt) {
    if (!stream_) return OkStatus();
    std::string text;
    for (const int32_t id : prompt) {
      if (IsHidden(id)) continue;
      GRAFT_RETURN_IF_ERROR(stream_->Append(id, &text));
      text.clear();
    }
    return OkStatus();
  }

  /// *text receives what token `id` makes certain; true if a stop string appeared.
  Result<bool> Append(int32_t id, std::string* text) {
    text->clear();
    if (!stream_ || IsHidden(id)) return false;
    decoded_.clear();
    GRAFT_RETURN_IF_ERROR(stream_->Append(id, &decoded_));
    return stop_.Append(decoded_, text);
  }

  /// *text receives the rest; true if it holds a stop string.
  Result<bool> Finish(std::string* text) {
    text->clear();
    if (!stream_) return false;
    decoded_.clear();
    GRAFT_RETURN_IF_ERROR(stream_->Finish(&decoded_));
    const bool has_stopped = stop_.Append(decoded_, text);
    stop_.Finish(text);
    return has_stopped;
  }

 private:
  /// Of special tokens, only marks are shown.
  bool IsHidden(int32_t id) const {
    if (!shows_marks_ || id < 0) return false;
    const auto token = static_cast<uint32_t>(id);
    if (token >= tokenizer_->size() || !tokenizer_->IsSpecial(token)) return false;
    const Result<std::string> text = tokenizer_->decoder().InnerText(token);
    return !text.ok() || !IsReplyMark(*text);
  }

  const Tokenizer* tokenizer_;
  bool shows_marks_;
  std::optional<TextStream> stream_;
  StopStrings stop_;
  std::string decoded_;
};

/// One generation: what its tokens and their text have come to.
class Generation {
 public:
  /// start_tokens: of the prompt, that every answer of an encoder-decoder begins with.
  Generation(Session& session, const Tokenizer* tokenizer, std::span<const int32_t> prompt,
             size_t start_tokens, const GenerateOptions& options, const TokenCallback& callback)
      : session_(session),
        options_(options),
        callback_(callback),
        sampler_(WithStart(options.sampling, prompt.size())),
        filter_(session.model()),
        forced_end_(ForcedEndToken(session.model())),
        output_(tokenizer, options.stop, options.shows_marks),
        history_(prompt.begin(), prompt.end()),
        start_tokens_(start_tokens),
        passes_(session, options.draft, options.sampling) {
    result_.prompt_tokens = prompt.size();
  }

  Status Prefill(std::span<const int32_t> prompt) {
    const auto start = std::chrono::steady_clock::now();
    if (options_.whole_prompt) {
      GRAFT_RETURN_IF_ERROR(session_.CheckPictureTokens(prompt));
      result_.reused_tokens = session_.KeepPrefix(prompt);
    }
    GRAFT_RETURN_IF_ERROR(session_.Append(prompt.subspan(result_.reused_tokens), &logits_));
    GRAFT_RETURN_IF_ERROR(passes_.Begin());
    result_.prefill_ns = NanosecondsSince(start);
    // An encoder-decoder's answer continues nothing of the tokens that every answer begins with.
    const size_t started = std::min(prompt.size(), start_tokens_);
    return output_.SkipPrompt(prompt.subspan(started));
  }

  Status Decode() {
    const auto start = std::chrono::steady_clock::now();
    for (;;) {
      if (session_.cancelled()) return Status(StatusCode::kCancelled, "generation was cancelled");
      GRAFT_ASSIGN_OR_RETURN(const std::optional<StopReason> stop, Step());
      if (stop.has_value()) {
        result_.stop_reason = *stop;
        // The last handed out is not held, as ever; those before it are.
        GRAFT_RETURN_IF_ERROR(passes_.End(taken_));
        break;
      }
      const size_t left = MaxTokens() - result_.generated_tokens;
      GRAFT_RETURN_IF_ERROR(
          passes_.Advance(taken_, {left - 1, options_.constraint, sampler_}, &logits_));
    }
    result_.decode_ns = NanosecondsSince(start);
    result_.drafted_tokens = passes_.drafted();
    result_.accepted_tokens = passes_.accepted();
    return OkStatus();
  }

  /// Hands out the text that is left, unless the callback wants no more.
  Result<GenerateResult> Finish() {
    if (result_.stop_reason == StopReason::kCallback) return result_;
    GRAFT_ASSIGN_OR_RETURN(const bool has_stopped, output_.Finish(&text_));
    if (has_stopped) result_.stop_reason = StopReason::kStopString;
    if (!text_.empty() && callback_) callback_(-1, text_);
    return result_;
  }

 private:
  static SamplingOptions WithStart(SamplingOptions sampling, size_t prompt_tokens) {
    sampling.generated_from = prompt_tokens;
    return sampling;
  }

  size_t MaxTokens() const {
    return options_.max_tokens == 0 ? kDefaultMaxTokens : options_.max_tokens;
  }

  /// Tokens that the session holds, but for those of a draft.
  size_t Held() const { return passes_.end(); }

  /// Tokens that can still be handed out. The last need not be held.
  size_t Room() const {
    const size_t context = session_.context_tokens();
    return std::min(MaxTokens() - result_.generated_tokens,
                    context + 1 - std::min(Held() + taken_.size(), context));
  }

  /// The logits that a token is chosen by.
  std::span<const float> Logits() {
    return filter_.Apply({logits_, session_.model().vocabulary()}, result_.generated_tokens == 0);
  }

  /// Chooses a token, and hands it out with those that must follow it: taken_ receives them all.
  Result<std::optional<StopReason>> Step() {
    taken_.clear();
    ConstrainedText* const constraint = options_.constraint;
    if (constraint == nullptr) {
      if (forced_end_ >= 0 && result_.generated_tokens + 1 == MaxTokens()) return Take(forced_end_);
      GRAFT_ASSIGN_OR_RETURN(const int32_t id, sampler_.Choose(Logits(), history_));
      return Take(id);
    }
    if (constraint->IsComplete()) return std::optional(StopReason::kComplete);
    GRAFT_ASSIGN_OR_RETURN(
        const int32_t id,
        constraint->Choose(Logits(), history_, session_.model().end_tokens(), Room(), &sampler_));
    if (!IsEnd(id)) GRAFT_RETURN_IF_ERROR(constraint->Append(id));
    GRAFT_ASSIGN_OR_RETURN(std::optional<StopReason> stop, Take(id));
    if (stop.has_value()) return WholeOr(*stop);
    GRAFT_ASSIGN_OR_RETURN(const std::vector<int32_t> forced, constraint->Forced(Room()));
    for (const int32_t next : forced) {
      if (Held() + taken_.size() >= session_.context_tokens()) break;
      GRAFT_RETURN_IF_ERROR(constraint->Append(next));
      GRAFT_ASSIGN_OR_RETURN(stop, Take(next, /*had_logits=*/false));
      if (stop.has_value()) return WholeOr(*stop);
    }
    if (constraint->IsComplete()) return std::optional(StopReason::kComplete);
    return stop;
  }

  /// A text that has become whole with the last token that there was room for is complete.
  std::optional<StopReason> WholeOr(StopReason stop) const {
    const bool has_no_room = stop == StopReason::kMaxTokens || stop == StopReason::kContext;
    return has_no_room && options_.constraint->MayEnd() ? StopReason::kComplete : stop;
  }

  void TellLogProbabilities(int32_t id, bool had_logits) {
    if (had_logits) {
      FindLogProbabilities({logits_, session_.model().vocabulary()}, id, options_.likeliest,
                           &log_probabilities_);
    } else {
      log_probabilities_ = {id, std::numeric_limits<float>::quiet_NaN(), {}, {}};
    }
    options_.on_log_probabilities(log_probabilities_);
  }

  /// Hands out a token. had_logits: it was chosen by logits_. Returns why it is the last, if it is.
  Result<std::optional<StopReason>> Take(int32_t id, bool had_logits = true) {
    using Reason = std::optional<StopReason>;
    if (!options_.ignore_end && IsEnd(id)) return Reason(StopReason::kEndToken);
    history_.push_back(id);
    taken_.push_back(id);
    ++result_.generated_tokens;
    GRAFT_ASSIGN_OR_RETURN(const bool has_stopped, output_.Append(id, &text_));
    if (options_.on_log_probabilities) TellLogProbabilities(id, had_logits);
    if (callback_ && !callback_(id, text_)) return Reason(StopReason::kCallback);
    if (has_stopped) return Reason(StopReason::kStopString);
    if (result_.generated_tokens >= MaxTokens()) return Reason(StopReason::kMaxTokens);
    if (Held() + taken_.size() > session_.context_tokens()) {
      return Reason(StopReason::kContext);
    }
    return Reason();
  }

  bool IsEnd(int32_t id) const {
    const std::span<const uint32_t> end_tokens = session_.model().end_tokens();
    return std::find(end_tokens.begin(), end_tokens.end(), static_cast<uint32_t>(id)) !=
           end_tokens.end();
  }

  Session& session_;
  const GenerateOptions& options_;
  const TokenCallback& callback_;
  Sampler sampler_;
  TokenFilter filter_;
  int32_t forced_end_;
  TextOutput output_;
  std::vector<int32_t> history_;
  size_t start_tokens_;
  Speculation passes_;
  std::vector<int32_t> taken_;  // handed out, and not in the session yet
  std::string text_;            // of the last token
  const float* logits_ = nullptr;
  TokenLogProbabilities log_probabilities_;
  GenerateResult result_;
};

}  // namespace

Result<GenerateResult> Generate(Session& session, const Tokenizer* tokenizer,
                                std::span<const int32_t> prompt, const GenerateOptions& options,
                                const TokenCallback& callback) {
  std::vector<int32_t> start;
  GenerateOptions own = options;
  if (session.model().takes_source()) {
    GRAFT_ASSIGN_OR_RETURN(start, StartTokens(session.model(), {}));
    own.whole_prompt = own.whole_prompt || prompt.empty();
    if (prompt.empty()) prompt = start;
  }
  GRAFT_RETURN_IF_ERROR(CheckOptions(tokenizer, session.model().vocabulary(), prompt, own));
  Generation generation(session, tokenizer, prompt, start.size(), own, callback);
  GRAFT_RETURN_IF_ERROR(generation.Prefill(prompt));
  GRAFT_RETURN_IF_ERROR(generation.Decode());
  return generation.Finish();
}

}  // namespace graft::runtime
