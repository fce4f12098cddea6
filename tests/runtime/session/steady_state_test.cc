// SPDX-License-Identifier: Apache-2.0
// Once it goes, neither a decoded token nor a chunk of a prompt allocates, locks or reshapes.
#include <vector>

#include <doctest/doctest.h>

#include "tests/runtime/session/call_counts.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

constexpr fb::TensorFormat kFormats[] = {
    fb::TensorFormat::Float32, fb::TensorFormat::Int8PerChannel, fb::TensorFormat::Int4Block,
    fb::TensorFormat::Int4PerChannel};

// A team of several locks to sleep and to be woken, which the system may make it do between two
// calls, never between two stages of one.
void CheckSteady(const CallCounts& before, unsigned threads, size_t calls) {
  const CallCounts after = CountedCalls();
  CHECK(after.allocations - before.allocations == 0);
  CHECK(after.reshapes - before.reshapes == 0);
  CHECK(after.locks - before.locks <= (threads == 1 ? 0 : calls * threads));
}

TEST_SUITE("runtime/steady state") {
  TEST_CASE("the counters see what they count") {
    const CallCounts before = CountedCalls();
    const TinyLlama llama(fb::TensorFormat::Int4Block);
    const auto session = NewSession(llama.model(), {.threads = 2});
    REQUIRE(session->Append(TinyLlama::Ids(3), nullptr).ok());
    const CallCounts after = CountedCalls();
    CHECK(after.allocations > before.allocations);
    CHECK(after.reshapes > before.reshapes);
    CHECK(after.locks > before.locks);
  }

  TEST_CASE("decoding") {
    constexpr size_t kTokens = 40;
    for (const auto format : kFormats) {
      const TinyLlama llama(format);
      for (const auto kv :
           {runtime::KvFormat::kFloat32, runtime::KvFormat::kFloat16, runtime::KvFormat::kInt8}) {
        for (const unsigned threads : {1u, 2u}) {
          CAPTURE(threads);
          const auto session = NewSession(llama.model(), {.threads = threads, .kv_format = kv});
          const auto ids = TinyLlama::Ids(kTokens);
          const float* logits = nullptr;
          REQUIRE(session->Append(ids, &logits).ok());
          REQUIRE(session->Append(std::span(ids).first(1), &logits).ok());
          const CallCounts before = CountedCalls();
          bool all_ok = true;
          for (size_t i = 0; i < kTokens; ++i)
            all_ok = session->Append(std::span(ids).subspan(i, 1), &logits).ok() && all_ok;
          CheckSteady(before, threads, kTokens);
          CHECK(all_ok);
        }
      }
    }
  }

  TEST_CASE("a long prompt, chunk by chunk") {
    constexpr uint32_t kChunk = 16;
    for (const auto format : kFormats) {
      const TinyLlama llama(format);
      for (const unsigned threads : {1u, 2u}) {
        CAPTURE(threads);
        const auto session =
            NewSession(llama.model(), {.threads = threads, .prefill_chunk = kChunk});
        const auto ids = TinyLlama::Ids(96);
        REQUIRE(session->Append(std::span(ids).first(kChunk), nullptr).ok());
        const CallCounts before = CountedCalls();
        const bool is_ok = session->Append(std::span(ids).subspan(kChunk), nullptr).ok();
        CheckSteady(before, threads, ids.size() / kChunk);
        CHECK(is_ok);
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
