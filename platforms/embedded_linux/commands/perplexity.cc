// SPDX-License-Identifier: Apache-2.0
// graft-run perplexity: how well a model predicts a text.
#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {
namespace {

constexpr uint64_t kDefaultWindow = 256;

/// -log of the probability that softmax(logits) gives to `target`.
double Loss(const float* logits, size_t vocabulary, int32_t target) {
  const double top = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (size_t i = 0; i < vocabulary; ++i) sum += std::exp(static_cast<double>(logits[i]) - top);
  return top + std::log(sum) - static_cast<double>(logits[target]);
}

struct Score {
  double loss = 0;
  uint64_t tokens = 0;
};

/// Adds the losses of tokens 1 and on of one window, computed from an empty context.
int ScoreWindow(const std::string& file, graft_session* session, const int32_t* ids, size_t count,
                Score* score) {
  const float* logits = nullptr;
  size_t vocabulary = 0;
  const int code = ForwardTokens(file, session, ids, count, &logits, &vocabulary);
  if (code != kExitOk) return code;
  for (size_t i = 1; i < count; ++i) {
    if (static_cast<size_t>(ids[i]) >= vocabulary) {
      return Fail(file, Format("token %d has no logit among %zu", ids[i], vocabulary));
    }
    score->loss += Loss(logits + (i - 1) * vocabulary, vocabulary, ids[i]);
    ++score->tokens;
  }
  return kExitOk;
}

struct Settings {
  std::string file;
  std::string text_file;
  uint64_t window = 0;  // tokens; 0: as the model's context allows
  ThreadOptions threads;
  CacheOptions cache;
  int32_t kv_format = GRAFT_KV_AUTO;
  bool json = false;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  bool has_text_file = false;
  std::string kv = "auto";
  Options options;
  settings->cache.AddTo(&options);
  options.String("text-file", 'f', &settings->text_file, &has_text_file);
  options.Integer("context", 'c', &settings->window, 2, uint64_t{1} << 24);
  settings->threads.AddTo(&options);
  options.String("kv", 0, &kv, nullptr);
  options.Flag("json", &settings->json);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  if (std::string problem = ParseKvFormat(kv, &settings->kv_format); !problem.empty()) {
    return problem;
  }
  return has_text_file ? std::string() : "--text-file is missing";
}

/// Tokens of a window, of `tokens` in all. The model's context may be too small for what was asked.
uint64_t WindowOf(const Settings& settings, const graft_model_info& info, size_t tokens) {
  uint64_t window = settings.window;
  if (window == 0) {
    window = info.context_tokens == 0 ? kDefaultWindow
                                      : std::min<uint64_t>(kDefaultWindow, info.context_tokens);
  }
  return std::min<uint64_t>(window, tokens);
}

void Show(const Settings& settings, const Score& score, size_t tokens, uint64_t windows,
          uint64_t window) {
  const double mean = score.loss / static_cast<double>(score.tokens);
  if (settings.json) {
    JsonObject()
        .Number("perplexity", std::exp(mean))
        .Number("mean_loss", mean)
        .Integer("tokens", tokens)
        .Integer("scored_tokens", score.tokens)
        .Integer("windows", windows)
        .Integer("context", window)
        .Print();
    return;
  }
  std::printf("perplexity %.4f  (%" PRIu64 " tokens scored in %" PRIu64 " windows of %" PRIu64
              ")\n",
              std::exp(mean), score.tokens, windows, window);
}

}  // namespace

int RunPerplexity(int argc, char** argv) {
  Settings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty()) {
    return FailUsage("perplexity: " + problem);
  }
  std::string text;
  if (!ReadTextFile(settings.text_file, &text)) return kExitFailure;
  const ModelHandle model = OpenModel(settings.file, settings.threads, settings.cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  std::vector<int32_t> ids;
  if (!Tokenize(settings.file, model.get(), text, false, &ids)) return kExitFailure;
  if (ids.size() < 2) {
    return Fail(settings.text_file, Format("has %zu tokens; a perplexity needs 2", ids.size()));
  }
  const uint64_t window = WindowOf(settings, info, ids.size());
  if (info.context_tokens != 0 && window > info.context_tokens) {
    return Fail(settings.file,
                Format("windows of %" PRIu64 " tokens exceed the model's context of %u", window,
                       info.context_tokens));
  }
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, window, settings.kv_format);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());
  Score score;
  uint64_t windows = 0;
  for (size_t at = 0; at < ids.size(); at += window) {
    const size_t count = std::min<size_t>(window, ids.size() - at);
    if (count < 2) break;  // a single token has nothing before it to be predicted from
    const int code = ScoreWindow(settings.file, session.get(), ids.data() + at, count, &score);
    if (code != kExitOk) return code;
    ++windows;
  }
  Show(settings, score, ids.size(), windows, window);
  return kExitOk;
}

}  // namespace graft_run
