// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/sampler.h"

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/base/random.h"

namespace graft::runtime {
namespace {

using Logits = std::vector<float>;

std::map<int32_t, int> Draw(const SamplingOptions& options, const Logits& logits, int count,
                            std::vector<int32_t> history = {}) {
  Sampler sampler(options);
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sampler.Choose(logits, history).value()];
  return seen;
}

std::set<int32_t> Support(const SamplingOptions& options, const Logits& logits) {
  std::set<int32_t> ids;
  for (const auto& [id, count] : Draw(options, logits, 3000)) ids.insert(id);
  return ids;
}

TEST_SUITE("text/sampler") {
  TEST_CASE("without a temperature takes the likeliest, of equals the first") {
    const SamplingOptions options;
    CHECK(Sampler(options).Choose(Logits{1, 3, 3, 2}, {}).value() == 1);
    CHECK(Sampler(options).Choose(Logits{-5, -7}, {}).value() == 0);
  }

  // Some 40 whole words of a mask and a part of one.
  TEST_CASE("of the tokens that may come chooses as if all others had no chance") {
    constexpr size_t kTokens = 2600;
    RandomSource random(7);
    Logits logits(kTokens);
    for (float& logit : logits) logit = std::floor(static_cast<float>(random.NextUnit()) * 50);
    logits[1234] = logits[77] = std::numeric_limits<float>::quiet_NaN();
    logits[99] = -std::numeric_limits<float>::infinity();
    for (const double share : {0.0005, 0.02, 0.5, 0.97, 1.0}) {
      std::vector<uint64_t> allowed((kTokens + 63) / 64, 0);
      Logits rest(kTokens, -std::numeric_limits<float>::infinity());
      for (size_t id = 0; id < kTokens; ++id) {
        if (random.NextUnit() >= share && id != kTokens - 3) continue;
        allowed[id / 64] |= uint64_t{1} << id % 64;
        rest[id] = logits[id];
      }
      allowed.back() |= uint64_t{1} << 63;  // that there is no token of
      for (const float temperature : {0.0f, 8.0f}) {
        SamplingOptions options;
        options.temperature = temperature;
        options.seed = 3;
        Sampler masked(options);
        Sampler plain(options);
        for (int i = 0; i < 20; ++i) {
          CHECK(masked.Choose(logits, {}, allowed).value() == plain.Choose(rest, {}).value());
        }
      }
      allowed.resize(1);  // of the others nothing is said: they may not come
      const auto chosen = Sampler({}).Choose(logits, {}, allowed);
      CHECK((!chosen.ok() || *chosen < 64));
    }
    CHECK(!Sampler({}).Choose(logits, {}, std::vector<uint64_t>(41, 0)).ok());
  }

  TEST_CASE("takes the largest wherever it stands") {
    for (const size_t count : {size_t{63}, size_t{64}, size_t{130}}) {
      for (size_t id = 0; id < count; ++id) {
        Logits logits(count, -2);
        logits[id] = -1;
        CHECK(Sampler({}).Choose(logits, {}).value() == static_cast<int32_t>(id));
      }
    }
  }

  TEST_CASE("draws as often as the softmax says") {
    SamplingOptions options;
    options.temperature = 0.7f;
    options.seed = 5;
    const Logits logits = {0.1f, 1.3f, -0.4f, 2.0f};
    constexpr int kDraws = 200000;
    double total = 0;
    for (const float logit : logits) total += std::exp(logit / 0.7);
    const auto seen = Draw(options, logits, kDraws);
    for (size_t id = 0; id < logits.size(); ++id) {
      const double p = std::exp(logits[id] / 0.7) / total;
      const double spread = std::sqrt(p * (1 - p) * kDraws);  // of the binomial distribution
      CHECK(std::abs(seen.at(static_cast<int32_t>(id)) - p * kDraws) < 5 * spread);
    }
  }

  TEST_CASE("top_k keeps the k likeliest, of equals the first") {
    SamplingOptions options;
    options.temperature = 10;
    options.top_k = 3;
    CHECK(Support(options, {1, 5, 2, 4, 2, 2}) == std::set<int32_t>{1, 2, 3});
    options.top_k = 100;
    CHECK(Support(options, {1, 1, 1}) == std::set<int32_t>{0, 1, 2});
  }

  TEST_CASE("top_p keeps the fewest that reach p") {
    SamplingOptions options;
    options.temperature = 1;
    const Logits logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
    options.top_p = 0.35f;
    CHECK(Support(options, logits) == std::set<int32_t>{1});
    options.top_p = 0.65f;
    CHECK(Support(options, logits) == std::set<int32_t>{1, 3});
    options.top_p = 0.85f;
    CHECK(Support(options, logits) == std::set<int32_t>{1, 2, 3});
    options.top_p = 1;
    CHECK(Support(options, logits).size() == 4);
    // After top_k: of {0.4, 0.3}, renormalized, the first alone reaches 0.55.
    options.top_k = 2;
    options.top_p = 0.55f;
    CHECK(Support(options, logits) == std::set<int32_t>{1});
  }

  TEST_CASE("top_p looks as far as it must among many") {
    SamplingOptions options;
    options.temperature = 1;
    options.top_p = 0.5f;
    const Logits flat(5000, 0.25f);
    for (const auto& [id, count] : Draw(options, flat, 400)) CHECK(id < 2501);
  }

  TEST_CASE("min_p keeps those that are likely enough beside the likeliest") {
    SamplingOptions options;
    options.temperature = 1;
    options.min_p = 0.45f;
    const Logits logits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};
    CHECK(Support(options, logits) == std::set<int32_t>{1, 2, 3});
    options.min_p = 0.6f;
    CHECK(Support(options, logits) == std::set<int32_t>{1, 3});
    options.min_p = 1;
    CHECK(Support(options, logits) == std::set<int32_t>{1});
  }

  TEST_CASE("the repeat penalty reaches back as far as its window") {
    SamplingOptions options;
    options.repeat_penalty = 2;
    options.repeat_window = 2;
    const Logits logits = {3, 2, 1.6f};
    CHECK(Sampler(options).Choose(logits, {}).value() == 0);
    CHECK(Sampler(options).Choose(logits, std::vector<int32_t>{0}).value() == 1);
    CHECK(Sampler(options).Choose(logits, std::vector<int32_t>{0, 1}).value() == 2);
    CHECK(Sampler(options).Choose(logits, std::vector<int32_t>{0, 1, 2}).value() == 0);
    // A negative logit moves away from zero, and a token counts once however often it came.
    CHECK(Sampler(options).Choose(Logits{-1, -1.5f}, std::vector<int32_t>{0, 0}).value() == 1);
    CHECK(Sampler(options).Choose(Logits{-1, -2.5f}, std::vector<int32_t>{0, 0}).value() == 0);
  }

  TEST_CASE("equal seeds give equal tokens, on every machine these") {
    SamplingOptions options;
    options.temperature = 0.9f;
    options.top_p = 0.95f;
    options.seed = 42;
    Logits logits(50);
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37) % 50) / 10;
    Sampler first(options);
    Sampler second(options);
    std::vector<int32_t> ids;
    for (int i = 0; i < 12; ++i) {
      ids.push_back(first.Choose(logits, {}).value());
      CHECK(second.Choose(logits, {}).value() == ids.back());
    }
    CHECK(ids == std::vector<int32_t>{27, 35, 20, 13, 2, 24, 47, 5, 24, 16, 20, 31});
    options.seed = 43;
    Sampler other(options);
    std::vector<int32_t> other_ids;
    for (int i = 0; i < 12; ++i) other_ids.push_back(other.Choose(logits, {}).value());
    CHECK(other_ids != ids);
  }

  TEST_CASE("the random numbers are those of the published generator") {
    // xoshiro256** from the state that SplitMix64 gives for seed 0.
    RandomSource random(0);
    CHECK(random.Next() == 0x99EC5F36CB75F2B4u);
    CHECK(random.Next() == 0xBF6E1F784956452Au);
    CHECK(random.Next() == 0x1A5F849D4933E6E0u);
  }

  TEST_CASE("what is no number is never chosen, and nothing but such is an error") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float infinity = std::numeric_limits<float>::infinity();
    SamplingOptions options;
    CHECK(Sampler(options).Choose(Logits{nan, -infinity, -3}, {}).value() == 2);
    options.temperature = 1;
    CHECK(Support(options, {nan, 1, -infinity}) == std::set<int32_t>{1});
    for (const float temperature : {0.0f, 1.0f}) {
      options.temperature = temperature;
      CHECK(Sampler(options).Choose(Logits{nan, nan}, {}).status().code() == StatusCode::kInternal);
      CHECK(Sampler(options).Choose(Logits{-infinity}, {}).status().code() ==
            StatusCode::kInternal);
      CHECK(!Sampler(options).Choose(Logits{infinity, 1}, {}).ok());
    }
  }

  TEST_CASE("options out of their range are refused by name") {
    SamplingOptions options;
    options.top_p = 1.5f;
    CHECK(CheckSamplingOptions(options).message().find("top_p") != std::string_view::npos);
    options.top_p = 0;
    options.temperature = -1;
    CHECK(CheckSamplingOptions(options).code() == StatusCode::kInvalidArgument);
    options.temperature = std::numeric_limits<float>::quiet_NaN();
    CHECK(!CheckSamplingOptions(options).ok());
    options.temperature = 1;
    CHECK(CheckSamplingOptions(options).ok());
  }

  TEST_CASE("the exponential is right to the last digits") {
    for (double x = -699; x <= 0; x += 0.37) {
      const double expected = std::exp(x);
      CHECK(std::abs(PortableExp(x) - expected) <= 1e-15 * expected);
    }
    CHECK(PortableExp(0) == 1);
    CHECK(PortableExp(-1000) == 0);
    CHECK(PortableExp(-std::numeric_limits<double>::infinity()) == 0);
  }
}

}  // namespace
}  // namespace graft::runtime
