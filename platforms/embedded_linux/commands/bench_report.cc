// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/commands/bench_report.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {
namespace {

constexpr double kMebi = 1 << 20;

// Bytes of the cache that a generated token reads: those of every position up to its own, which on
// average is the middle of the run.
double CacheBytesRead(const BenchSettings& settings, const BenchFigures& figures) {
  const double positions =
      static_cast<double>(settings.depth) + (static_cast<double>(settings.generate) + 1) / 2;
  return positions * static_cast<double>(figures.session.cache_bytes_per_token);
}

double BytesReadPerToken(const BenchSettings& settings, const BenchFigures& figures) {
  return static_cast<double>(figures.session.weight_bytes) + CacheBytesRead(settings, figures);
}

double MedianOf(std::vector<double> values) { return RatesOf(std::move(values)).median; }

double ReadBandwidthOf(const BenchFigures& figures) {
  std::vector<double> bandwidths;
  for (const GenerationRound& round : figures.rounds) bandwidths.push_back(round.read_bandwidth);
  return MedianOf(std::move(bandwidths));
}

// The median of the rounds' shares, each of the bandwidth around it.
double ShareOfBandwidth(const BenchSettings& settings, const BenchFigures& figures) {
  std::vector<double> shares;
  for (const GenerationRound& round : figures.rounds) {
    if (round.read_bandwidth <= 0) return 0;
    shares.push_back(round.tokens_per_second * BytesReadPerToken(settings, figures) /
                     round.read_bandwidth);
  }
  return MedianOf(std::move(shares));
}

// Share of the threads' time that tasks of this kind kept them busy while it ran.
double BusyShare(const graft_step_time& step, uint32_t threads) {
  const double available = static_cast<double>(step.wall_ns) * threads;
  return available > 0 ? static_cast<double>(step.busy_ns) / available : 0;
}

uint64_t OtherNs(const StepProfile& profile) {
  uint64_t steps = 0;
  for (const graft_step_time& step : profile.steps) steps += step.wall_ns;
  return profile.elapsed_ns > steps ? profile.elapsed_ns - steps : 0;
}

void ShowProfile(const char* title, const StepProfile& profile, uint32_t threads) {
  if (profile.tokens == 0) return;
  const auto elapsed = static_cast<double>(std::max<uint64_t>(1, profile.elapsed_ns));
  std::printf("\n%s, %" PRIu64 " tokens in %.3f ms\n", title, profile.tokens, elapsed * 1e-6);
  std::printf("%-18s %9s %10s %7s %10s %9s %7s\n", "kind", "calls", "total ms", "share", "ns/call",
              "weights", "busy");
  for (const graft_step_time& step : profile.steps) {
    const auto wall = static_cast<double>(step.wall_ns);
    std::printf("%-18s %9" PRIu64 " %10.3f %6.1f%% %10.0f ", step.kind, step.calls, wall * 1e-6,
                100 * wall / elapsed,
                wall / static_cast<double>(std::max<uint64_t>(1, step.calls)));
    if (step.weight_bytes > 0 && wall > 0) {
      std::printf("%4.1f GB/s", static_cast<double>(step.weight_bytes) / wall);
    } else {
      std::printf("%9s", "");
    }
    std::printf(" %6.1f%%\n", 100 * BusyShare(step, threads));
  }
  const auto other = static_cast<double>(OtherNs(profile));
  std::printf("%-18s %9s %10.3f %6.1f%%\n", "between steps", "", other * 1e-6,
              100 * other / elapsed);
}

JsonObject ProfileObject(const StepProfile& profile) {
  std::vector<JsonObject> steps;
  for (const graft_step_time& step : profile.steps) {
    steps.push_back(JsonObject()
                        .String("kind", step.kind)
                        .Integer("calls", step.calls)
                        .Integer("wall_ns", step.wall_ns)
                        .Integer("busy_ns", step.busy_ns)
                        .Integer("weight_bytes", step.weight_bytes));
  }
  return JsonObject()
      .Integer("tokens", profile.tokens)
      .Integer("elapsed_ns", profile.elapsed_ns)
      .Integer("between_steps_ns", OtherNs(profile))
      .Objects("steps", steps);
}

std::vector<JsonObject> RoundObjects(const BenchFigures& figures) {
  std::vector<JsonObject> rounds;
  for (const GenerationRound& round : figures.rounds) {
    rounds.push_back(JsonObject()
                         .Number("tokens_per_second", round.tokens_per_second)
                         .Number("read_bandwidth_bytes_per_second", round.read_bandwidth));
  }
  return rounds;
}

void ShowJson(const BenchSettings& settings, const BenchFigures& figures) {
  JsonObject object;
  object.String("file", settings.file)
      .Integer("file_bytes", figures.model.file_bytes)
      .Integer("prompt_tokens", settings.prompt)
      .Integer("generated_tokens", settings.generate)
      .Integer("depth", settings.depth)
      .Integer("threads", figures.session.threads)
      .Integer("repetitions", settings.repetitions)
      .String("kv", KvFormatName(figures.session.kv_format))
      .Number("load_ms", figures.load_ms)
      .String("cache", CacheWord(figures.model))
      .Number("first_token_ms", figures.first_token_ms)
      .Number("prefill_tokens_per_second", figures.prompt.median)
      .Number("prefill_lowest", figures.prompt.low)
      .Number("prefill_highest", figures.prompt.high)
      .Number("decode_tokens_per_second", figures.generation.median)
      .Number("decode_lowest", figures.generation.low)
      .Number("decode_highest", figures.generation.high)
      .Integer("weight_bytes_per_token", figures.session.weight_bytes)
      .Integer("cache_bytes_per_position", figures.session.cache_bytes_per_token)
      .Number("bytes_read_per_token", BytesReadPerToken(settings, figures))
      .Objects("decode_rounds", RoundObjects(figures))
      .Number("read_bandwidth_bytes_per_second", ReadBandwidthOf(figures))
      .Number("read_bandwidth_share", ShareOfBandwidth(settings, figures))
      .Integer("peak_rss_kib", figures.memory.peak_kib)
      .Integer("rss_anonymous_kib", figures.memory.anonymous_kib)
      .Integer("rss_mapped_kib", figures.memory.mapped_kib);
  if (figures.prompt_profile.tokens > 0)
    object.Object("prefill_profile", ProfileObject(figures.prompt_profile));
  if (figures.generation_profile.tokens > 0)
    object.Object("decode_profile", ProfileObject(figures.generation_profile));
  object.Print();
}

}  // namespace

Rates RatesOf(std::vector<double> rates) {
  if (rates.empty()) return {};
  std::sort(rates.begin(), rates.end());
  const size_t middle = rates.size() / 2;
  const double median =
      rates.size() % 2 == 1 ? rates[middle] : (rates[middle - 1] + rates[middle]) / 2;
  return {median, rates.front(), rates.back()};
}

void ShowBench(const BenchSettings& settings, const BenchFigures& figures) {
  if (settings.json) return ShowJson(settings, figures);
  std::printf("threads       %u\n", figures.session.threads);
  std::printf("load          %.1f ms, %s\n", figures.load_ms, DescribeCache(figures.model).c_str());
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
    std::printf("read          %.1f MiB of weights and %.1f MiB of %s cache a token",
                static_cast<double>(figures.session.weight_bytes) / kMebi,
                CacheBytesRead(settings, figures) / kMebi, KvFormatName(figures.session.kv_format));
    if (ReadBandwidthOf(figures) > 0) {
      std::printf(": %.1f GB/s, %.0f %% of the %.1f GB/s that %u threads read here",
                  figures.generation.median * BytesReadPerToken(settings, figures) * 1e-9,
                  100 * ShareOfBandwidth(settings, figures), ReadBandwidthOf(figures) * 1e-9,
                  figures.session.threads);
    }
    std::printf("\n");
  }
  std::printf("memory        %.1f MiB at its peak; now %.1f MiB of its own, %.1f MiB mapped\n",
              static_cast<double>(figures.memory.peak_kib) / 1024,
              static_cast<double>(figures.memory.anonymous_kib) / 1024,
              static_cast<double>(figures.memory.mapped_kib) / 1024);
  ShowProfile("Prefill", figures.prompt_profile, figures.session.threads);
  ShowProfile("Decode", figures.generation_profile, figures.session.threads);
}

}  // namespace graft_run
