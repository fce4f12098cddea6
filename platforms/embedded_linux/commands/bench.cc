// SPDX-License-Identifier: Apache-2.0
// graft-run bench: how fast a model runs and how much memory it takes.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/bench_report.h"
#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/machine/machine.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

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
  Bench(const BenchSettings& settings, graft_session* session, uint32_t vocabulary)
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

  /// One more prompt, and one more run of generation, by kind of step.
  int ProfilePrompt(StepProfile* profile) {
    if (const int code = Fill(); code != kExitOk) return code;
    return Profile(settings_.prompt, profile,
                   [&] { return Append(tokens_.data(), settings_.prompt); });
  }
  int ProfileGeneration(StepProfile* profile) {
    if (const int code = Fill(); code != kExitOk) return code;
    return Profile(settings_.generate, profile, [&] {
      for (uint64_t i = 0; i < settings_.generate; ++i) {
        if (const int code = Append(&tokens_[i], 1); code != kExitOk) return code;
      }
      return kExitOk;
    });
  }

 private:
  template <class Run>
  int Profile(uint64_t tokens, StepProfile* profile, Run run) {
    graft_error error{};
    if (graft_session_measure(session_, 1, &error) != GRAFT_OK)
      return FailCall(settings_.file, error);
    const auto start = Clock::now();
    const int code = run();
    const auto passed = Clock::now() - start;
    if (code != kExitOk) return code;
    if (graft_session_measure(session_, 0, &error) != GRAFT_OK)
      return FailCall(settings_.file, error);
    profile->tokens = tokens;
    profile->elapsed_ns =
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
    for (size_t i = 0;; ++i) {
      graft_step_time time{};
      time.struct_size = sizeof(time);
      if (graft_session_step_time(session_, i, &time, nullptr) != GRAFT_OK) return kExitOk;
      profile->steps.push_back(time);
    }
  }

  int Fill() {
    graft_error error{};
    if (graft_session_position(session_) < settings_.depth) {
      if (graft_session_reset(session_, &error) != GRAFT_OK) return FailCall(settings_.file, error);
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

  const BenchSettings& settings_;
  graft_session* session_;
  std::vector<int32_t> tokens_;
};

// Generation and reading in turn: on a machine that is shared either is slow when the other is.
int MeasureRounds(const BenchSettings& settings, uint32_t threads, Bench& bench,
                  std::vector<GenerationRound>* rounds) {
  ReadBandwidth reading(threads);
  double before = reading.Measure();
  for (uint64_t i = 0; i < settings.repetitions; ++i) {
    GenerationRound round;
    if (const int code = bench.MeasureGeneration(&round.tokens_per_second); code != kExitOk)
      return code;
    const double after = reading.Measure();
    round.read_bandwidth = (before + after) / 2;
    before = after;
    rounds->push_back(round);
  }
  return kExitOk;
}

std::string ReadSettings(int argc, char** argv, BenchSettings* settings, CacheOptions* cache) {
  constexpr uint64_t kMost = uint64_t{1} << 20;
  std::string kv = "auto";
  Options options;
  cache->AddTo(&options);
  options.Integer("prompt", 'p', &settings->prompt, 0, kMost);
  options.Integer("generate", 'n', &settings->generate, 0, kMost);
  options.Integer("depth", 'd', &settings->depth, 0, kMost);
  settings->threads.AddTo(&options);
  options.Integer("repetitions", 'r', &settings->repetitions, 1, 10000);
  options.String("kv", 0, &kv, nullptr);
  options.Flag("profile", &settings->profile);
  options.Flag("json", &settings->json);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  return ParseKvFormat(kv, &settings->kv_format);
}

/// Prompts, then generation. `start`: when the process began to open the model.
int MeasureRates(const BenchSettings& settings, Clock::time_point start, Bench& bench,
                 BenchFigures* figures) {
  std::vector<double> prompt_rates;
  for (uint64_t i = 0; i <= settings.repetitions && settings.prompt > 0; ++i) {
    double rate = 0;
    if (const int code = bench.MeasurePrompt(&rate); code != kExitOk) return code;
    if (i == 0) {  // cold: the time to the first token, and no part of the rates
      figures->first_token_ms = SecondsSince(start) * 1e3;
    } else {
      prompt_rates.push_back(rate);
    }
  }
  if (settings.generate > 0) {
    double rate = 0;  // of the first run, which only warms up
    if (const int code = bench.MeasureGeneration(&rate); code != kExitOk) return code;
  }
  figures->memory = ReadMemoryUse();  // before what measuring the bandwidth takes
  std::vector<double> generation_rates;
  if (settings.generate > 0) {
    if (const int code = MeasureRounds(settings, figures->session.threads, bench, &figures->rounds);
        code != kExitOk)
      return code;
    for (const GenerationRound& round : figures->rounds)
      generation_rates.push_back(round.tokens_per_second);
  }
  figures->prompt = RatesOf(prompt_rates);
  figures->generation = RatesOf(generation_rates);
  return kExitOk;
}

int MeasureProfiles(const BenchSettings& settings, Bench& bench, BenchFigures* figures) {
  if (!settings.profile) return kExitOk;
  if (settings.prompt > 0) {
    const int code = bench.ProfilePrompt(&figures->prompt_profile);
    if (code != kExitOk) return code;
  }
  return settings.generate > 0 ? bench.ProfileGeneration(&figures->generation_profile) : kExitOk;
}

}  // namespace

int RunBench(int argc, char** argv) {
  BenchSettings settings;
  CacheOptions cache;
  if (std::string problem = ReadSettings(argc, argv, &settings, &cache); !problem.empty()) {
    return FailUsage("bench: " + problem);
  }
  const auto start = Clock::now();
  const ModelHandle model = OpenModel(settings.file, settings.threads, cache);
  if (model == nullptr) return kExitFailure;
  BenchFigures figures;
  figures.model = InfoOf(model.get());
  if (figures.model.vocabulary == 0) return Fail(settings.file, "is no model of tokens");
  const uint64_t context =
      settings.depth + std::max({settings.prompt, settings.generate, uint64_t{1}});
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, context, settings.kv_format);
  if (session == nullptr) return kExitFailure;
  figures.load_ms = SecondsSince(start) * 1e3;
  figures.session.struct_size = sizeof(figures.session);
  graft_error error{};
  if (graft_session_get_info(session.get(), &figures.session, &error) != GRAFT_OK)
    return FailCall(settings.file, error);

  const InterruptGuard guard(session.get());
  Bench bench(settings, session.get(), figures.model.vocabulary);
  if (const int code = MeasureRates(settings, start, bench, &figures); code != kExitOk) return code;
  if (const int code = MeasureProfiles(settings, bench, &figures); code != kExitOk) return code;
  ShowBench(settings, figures);
  return kExitOk;
}

}  // namespace graft_run
