// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/generate.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "runtime/base/utf8.h"
#include "runtime/tasks/stop_strings.h"

namespace graft::runtime {
namespace {

constexpr uint32_t kDefaultMaxTokens = 256;

uint64_t NanosecondsSince(std::chrono::steady_clock::time_point start) {
  const auto passed = std::chrono::steady_clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
}

Status CheckOptions(const Tokenizer* tokenizer, std::span<const int32_t> prompt,
                    const GenerateOptions& options) {
  if (prompt.empty()) return Status(StatusCode::kInvalidArgument, "the prompt has no tokens");
  GRAFT_RETURN_IF_ERROR(CheckSamplingOptions(options.sampling));
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
  TextOutput(const Tokenizer* tokenizer, const std::vector<std::string>& stop) : stop_(stop) {
    if (tokenizer != nullptr) stream_.emplace(*tokenizer, /*skip_special=*/true);
  }

  /// Reads the prompt, so that the text that follows continues it: the first word keeps its space.
  Status SkipPrompt(std::span<const int32_t> prompt) {
    if (!stream_) return OkStatus();
    std::string text;
    for (const int32_t id : prompt) {
      GRAFT_RETURN_IF_ERROR(stream_->Append(id, &text));
      text.clear();
    }
    return OkStatus();
  }

  /// *text receives what token `id` makes certain; true if a stop string appeared.
  Result<bool> Append(int32_t id, std::string* text) {
    text->clear();
    if (!stream_) return false;
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
  std::optional<TextStream> stream_;
  StopStrings stop_;
  std::string decoded_;
};

}  // namespace

Result<GenerateResult> Generate(Session& session, const Tokenizer* tokenizer,
                                std::span<const int32_t> prompt, const GenerateOptions& options,
                                const TokenCallback& callback) {
  GRAFT_RETURN_IF_ERROR(CheckOptions(tokenizer, prompt, options));
  const std::span<const uint32_t> end_tokens = session.model().end_tokens();
  const auto is_end = [&](int32_t id) {
    return std::find(end_tokens.begin(), end_tokens.end(), static_cast<uint32_t>(id)) !=
           end_tokens.end();
  };
  const size_t max_tokens = options.max_tokens == 0 ? kDefaultMaxTokens : options.max_tokens;
  const size_t vocabulary = session.model().vocabulary();
  GenerateResult result;
  result.prompt_tokens = prompt.size();
  Sampler sampler(options.sampling);
  TextOutput output(tokenizer, options.stop);
  std::vector<int32_t> history(prompt.begin(), prompt.end());
  std::string text;

  auto start = std::chrono::steady_clock::now();
  const float* logits = nullptr;
  if (options.whole_prompt) result.reused_tokens = session.KeepPrefix(prompt);
  GRAFT_RETURN_IF_ERROR(session.Append(prompt.subspan(result.reused_tokens), &logits));
  result.prefill_ns = NanosecondsSince(start);
  GRAFT_RETURN_IF_ERROR(output.SkipPrompt(prompt));

  start = std::chrono::steady_clock::now();
  bool wants_rest = true;
  for (;;) {
    if (session.cancelled()) return Status(StatusCode::kCancelled, "generation was cancelled");
    GRAFT_ASSIGN_OR_RETURN(const int32_t id, sampler.Choose({logits, vocabulary}, history));
    if (!options.ignore_end && is_end(id)) {
      result.stop_reason = StopReason::kEndToken;
      break;
    }
    history.push_back(id);
    ++result.generated_tokens;
    GRAFT_ASSIGN_OR_RETURN(const bool has_stopped, output.Append(id, &text));
    if (callback && !callback(id, text)) {
      result.stop_reason = StopReason::kCallback;
      wants_rest = false;
      break;
    }
    if (has_stopped) {
      result.stop_reason = StopReason::kStopString;
      break;
    }
    if (result.generated_tokens >= max_tokens) {
      result.stop_reason = StopReason::kMaxTokens;
      break;
    }
    if (session.position() >= session.context_tokens()) {
      result.stop_reason = StopReason::kContext;
      break;
    }
    GRAFT_RETURN_IF_ERROR(session.Append({&id, 1}, &logits));
  }
  result.decode_ns = NanosecondsSince(start);
  if (!wants_rest) return result;
  GRAFT_ASSIGN_OR_RETURN(const bool ended_by_rest, output.Finish(&text));
  if (ended_by_rest && result.stop_reason != StopReason::kStopString) {
    result.stop_reason = StopReason::kStopString;
  }
  if (!text.empty() && callback) callback(-1, text);
  return result;
}

}  // namespace graft::runtime
