// SPDX-License-Identifier: Apache-2.0
// graft-run bench: how fast a model runs and how much memory it takes.
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"

namespace graft_run {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The number of KiB that /proc/self/status gives for `key`; 0 if it does not.
uint64_t StatusKib(const char* key) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen("/proc/self/status", "re"),
      [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  if (file == nullptr) return 0;
  char line[256];
  uint64_t value = 0;
  const size_t length = std::strlen(key);
  while (std::fgets(line, sizeof(line), file.get()) != nullptr) {
    if (std::strncmp(line, key, length) == 0 && line[length] == ':') {
      std::sscanf(line + length + 1, "%" SCNu64, &value);
    }
  }
  return value;
}

struct Rates {
  double median = 0;
  double low = 0;
  double high = 0;
};

Rates RatesOf(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  const size_t middle = rates.size() / 2;
  const double median =
      rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return {median, rates.front(), rates.back()};
}

struct Settings {
  std::string file;
  uint64_t prompt = 128;
  uint64_t generate = 64;
  uint64_t depth = 0;
  uint64_t threads = 0;
  uint64_t repetitions = 5;
  bool json = false;
};

/// Tokens without meaning, the same in every run.
std::vector<int32_t> MakeTokens(uint64_t count, uint32_t vocabulary) {
  std::vector<int32_t> ids(count);
  uint64_t state = 1;
  for (int32_t& id : ids) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((state >> 33) % vocabulary);
  }
  return ids;
}

/// The session under measurement. Each function returns an exit code, its failure printed.
class Bench {
 public:
  Bench(const Settings& settings, graft_session* session, uint32_t vocabulary)
      : settings_(settings),
        session_(session),
        tokens_(MakeTokens(std::max({settings.prompt, settings.generate, settings.depth}),
                           vocabulary)) {}

  /// Tokens of the prompt a second, after the context that was asked for.
  int MeasurePrompt(double* rate) {
    if (const int code = Fill(); code != kExitOk) return code;
    const auto start = Clock::now();
    if (const int code = Append(tokens_.data(), settings_.prompt); code != kExitOk) return code;
    *rate = static_cast<double>(settings_.prompt) / SecondsSince(start);
    return kExitOk;
  }

  /// Tokens a second, one at a time.
  int MeasureGeneration(double* rate) {
    if (const int code = Fill(); code != kExitOk) return code;
    const auto start = Clock::now();
    for (uint64_t i = 0; i < settings_.generate; ++i) {
      if (const int code = Append(&tokens_[i], 1); code != kExitOk) return code;
    }
    *rate = static_cast<double>(settings_.generate) / SecondsSince(start);
    return kExitOk;
  }

 private:
  int Fill() {
    graft_error error{};
    if (graft_session_position(session_) < settings_.depth) {
      graft_session_reset(session_, nullptr);
      return Append(tokens_.data(), settings_.depth);
    }
    if (graft_session_rewind(session_, settings_.depth, &error) == GRAFT_OK) return kExitOk;
    return FailCall(settings_.file, error);
  }

  int Append(const int32_t* ids, uint64_t count) {
    graft_error error{};
    const float* logits = nullptr;
    if (graft_session_append(session_, ids, count, &logits, &error) == GRAFT_OK) return kExitOk;
    return FailCall(settings_.file, error);
  }

  const Settings& settings_;
  graft_session* session_;
  std::vector<int32_t> tokens_;
};

struct Figures {
  double load_ms = 0;
  double first_token_ms = 0;
  Rates prompt;
  Rates generation;
};

void Show(const Settings& settings, const graft_model_info& info, const Figures& figures) {
  const uint64_t peak_kib = StatusKib("VmHWM");
  const uint64_t anonymous_kib = StatusKib("RssAnon");
  const uint64_t mapped_kib = StatusKib("RssFile");
  if (settings.json) {
    JsonObject()
        .Text("file", settings.file)
        .Whole("file_bytes", info.file_bytes)
        .Whole("prompt_tokens", settings.prompt)
        .Whole("generated_tokens", settings.generate)
        .Whole("depth", settings.depth)
        .Whole("threads", settings.threads)
        .Whole("repetitions", settings.repetitions)
        .Number("load_ms", figures.load_ms)
        .Text("cache", CacheWord(info))
        .Number("first_token_ms", figures.first_token_ms)
        .Number("prefill_tokens_per_second", figures.prompt.median)
        .Number("prefill_lowest", figures.prompt.low)
        .Number("prefill_highest", figures.prompt.high)
        .Number("decode_tokens_per_second", figures.generation.median)
        .Number("decode_lowest", figures.generation.low)
        .Number("decode_highest", figures.generation.high)
        .Whole("peak_rss_kib", peak_kib)
        .Whole("rss_anonymous_kib", anonymous_kib)
        .Whole("rss_mapped_kib", mapped_kib)
        .Print();
    return;
  }
  std::printf("load          %.1f ms, %s\n", figures.load_ms, DescribeCache(info).c_str());
  if (settings.prompt > 0) {
    std::printf("first token   %.1f ms after start, with a prompt of %" PRIu64 "\n",
                figures.first_token_ms, settings.prompt);
    std::printf("prefill       %.1f tok/s (%.1f to %.1f), %" PRIu64 " tokens after %" PRIu64 "\n",
                figures.prompt.median, figures.prompt.low, figures.prompt.high, settings.prompt,
                settings.depth);
  }
  if (settings.generate > 0) {
    std::printf("decode        %.1f tok/s (%.1f to %.1f), %" PRIu64 " tokens after %" PRIu64 "\n",
                figures.generation.median, figures.generation.low, figures.generation.high,
                settings.generate, settings.depth);
  }
  std::printf("memory        %.1f MiB at its peak; now %.1f MiB of its own, %.1f MiB mapped\n",
              static_cast<double>(peak_kib) / 1024, static_cast<double>(anonymous_kib) / 1024,
              static_cast<double>(mapped_kib) / 1024);
}

}  // namespace

int RunBench(int argc, char** argv) {
  Settings settings;
  constexpr uint64_t kMost = uint64_t{1} << 20;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.Whole("prompt", 'p', &settings.prompt, 0, kMost);
  options.Whole("generate", 'n', &settings.generate, 0, kMost);
  options.Whole("depth", 'd', &settings.depth, 0, kMost);
  options.Whole("threads", 't', &settings.threads, 1, 1024);
  options.Whole("repetitions", 'r', &settings.repetitions, 1, 10000);
  options.Flag("json", &settings.json);
  if (std::string problem = options.Parse(argc, argv, &settings.file); !problem.empty()) {
    return FailUsage("bench: " + problem);
  }

  const auto start = Clock::now();
  const ModelHandle model = OpenModel(settings.file, settings.threads, cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  if (info.vocabulary == 0) return Fail(settings.file, "is no model of tokens");
  const uint64_t context =
      settings.depth + std::max({settings.prompt, settings.generate, uint64_t{1}});
  const SessionHandle session = OpenSession(settings.file, model.get(), settings.threads, context);
  if (session == nullptr) return kExitFailure;
  Figures figures;
  figures.load_ms = SecondsSince(start) * 1e3;

  const InterruptGuard guard(session.get());
  Bench bench(settings, session.get(), info.vocabulary);
  std::vector<double> prompt_rates;
  std::vector<double> generation_rates;
  for (uint64_t i = 0; i <= settings.repetitions && settings.prompt > 0; ++i) {
    double rate = 0;
    if (const int code = bench.MeasurePrompt(&rate); code != kExitOk) return code;
    if (i == 0) {  // cold: the time to the first token, and no part of the rates
      figures.first_token_ms = SecondsSince(start) * 1e3;
    } else {
      prompt_rates.push_back(rate);
    }
  }
  for (uint64_t i = 0; i <= settings.repetitions && settings.generate > 0; ++i) {
    double rate = 0;
    if (const int code = bench.MeasureGeneration(&rate); code != kExitOk) return code;
    if (i > 0) generation_rates.push_back(rate);
  }
  figures.prompt = RatesOf(prompt_rates);
  figures.generation = RatesOf(generation_rates);
  Show(settings, info, figures);
  return kExitOk;
}

}  // namespace graft_run
