// SPDX-License-Identifier: Apache-2.0
// What a session measures by kind of step: every step once a pass, all weights, and no time twice.
#include "runtime/executor/profile.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

std::map<std::string, runtime::StepTotals> TotalsByKind(const runtime::Session& session) {
  std::map<std::string, runtime::StepTotals> totals;
  for (const runtime::StepTime& time : session.step_times()) totals[time.kind] = time.totals;
  return totals;
}

TEST_SUITE("runtime/profile") {
  TEST_CASE("counts each step of each pass, and every weight that decoding reads") {
    constexpr size_t kTokens = 5;
    constexpr size_t kLayers = 3;
    for (const unsigned threads : {1u, 3u}) {
      CAPTURE(threads);
      const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
      const auto session = NewSession(llama.model(), {.threads = threads});
      const auto ids = TinyLlama::Ids(20 + kTokens);
      const float* logits = nullptr;
      REQUIRE(session->Append(std::span(ids).first(20), &logits).ok());
      CHECK(session->step_times().empty());

      session->MeasureSteps(true);
      const uint64_t start = runtime::Profile::NowNs();
      for (size_t i = 20; i < ids.size(); ++i)
        REQUIRE(session->Append(std::span(ids).subspan(i, 1), &logits).ok());
      const uint64_t elapsed = runtime::Profile::NowNs() - start;
      session->MeasureSteps(false);

      auto totals = TotalsByKind(*session);
      CHECK(totals["attention"].calls == kTokens * kLayers);
      CHECK(totals["store_kv"].calls == kTokens * kLayers);
      CHECK(totals["rms_norm"].calls == kTokens * (2 * kLayers + 1));
      CHECK(totals["linears"].calls == kTokens * (4 * kLayers + 1));  // qkv, o, gate and up, down
      CHECK(totals["linears"].weight_bytes == kTokens * session->weight_bytes());
      uint64_t wall = 0;
      for (const auto& [kind, total] : totals) {
        CAPTURE(kind);
        CHECK(total.calls > 0);
        CHECK(total.busy_ns <= elapsed * threads);
        wall += total.wall_ns;
      }
      CHECK(wall > 0);
      CHECK(wall <= elapsed);

      REQUIRE(session->Append(std::span(ids).first(4), &logits).ok());
      CHECK(TotalsByKind(*session)["attention"].calls == kTokens * kLayers);
      session->MeasureSteps(true);
      CHECK(session->step_times().empty());
    }
  }

  TEST_CASE("the head, and what feeds nothing else, is computed only where logits are asked for") {
    const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
    const auto session = NewSession(llama.model(), {.threads = 2, .prefill_chunk = 8});
    const auto ids = TinyLlama::Ids(40);
    const auto linears_of = [&](const float** logits) {
      session->MeasureSteps(true);
      REQUIRE(session->Append(ids, logits).ok());
      session->MeasureSteps(false);
      return TotalsByKind(*session)["linears"];
    };
    const runtime::StepTotals without = linears_of(nullptr);
    const float* logits = nullptr;
    const runtime::StepTotals with = linears_of(&logits);
    // In the last of five chunks: the head, and all of the last layer but its keys and values,
    // which are kept: o, gate with up, and down. q goes along with k and v.
    CHECK(with.calls == without.calls + 4);
    const uint64_t left_out = with.weight_bytes - without.weight_bytes;
    CHECK(left_out > 0);
    CHECK(without.weight_bytes == 5 * (session->weight_bytes() - left_out));
  }

  TEST_CASE("wall time is shared out in proportion to busy time") {
    runtime::Profile profile;
    profile.Clear(3);
    const std::array<uint32_t, 2> rope_and_add = {0, 2};
    profile.StartPass();
    const uint64_t start = runtime::Profile::NowNs();
    // Busy times that lie 1 s and 3 s back, whatever the clock does meanwhile.
    profile.AddBusy(0, start - 1'000'000'000);
    profile.AddBusy(2, start - 3'000'000'000);
    profile.AddCall(0, 0);
    profile.AddCall(2, 7);
    while (runtime::Profile::NowNs() - start < 1'000'000) {
    }
    profile.FinishStage(rope_and_add);
    const runtime::StepTotals& rope = profile.totals()[0];
    const runtime::StepTotals& add = profile.totals()[2];
    CHECK(rope.busy_ns >= 1'000'000'000);
    CHECK(add.weight_bytes == 7);
    const double ratio = static_cast<double>(rope.busy_ns) / static_cast<double>(add.busy_ns);
    CHECK(static_cast<double>(rope.wall_ns) ==
          doctest::Approx(static_cast<double>(add.wall_ns) * ratio).epsilon(1e-4));
    CHECK(profile.totals()[1].wall_ns == 0);
  }
}

}  // namespace
}  // namespace graft::test
