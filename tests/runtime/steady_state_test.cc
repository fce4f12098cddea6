// SPDX-License-Identifier: Apache-2.0
// Decoding a token allocates nothing: every operator new of the process is counted.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/runtime/tiny_llama.h"

namespace {

std::atomic<size_t> allocations{0};

void* Count(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}

}  // namespace

void* operator new(size_t size) {
  if (void* memory = Count(size)) return memory;
  std::abort();
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Count(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Count(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

namespace graft::test {
namespace {

TEST_SUITE("runtime/steady state") {
  TEST_CASE("decoding allocates nothing once it goes") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block}) {
      const TinyLlama llama(format);
      for (const unsigned threads : {1u, 2u}) {
        const auto session = NewSession(llama.model(), {.threads = threads});
        const auto ids = TinyLlama::Ids(40);
        const float* logits = nullptr;
        REQUIRE(session->Append(ids, &logits).ok());
        REQUIRE(session->Append(std::span(ids).first(1), &logits).ok());
        const size_t before = allocations.load();
        bool all_ok = true;
        for (size_t i = 0; i < 40; ++i)
          all_ok = session->Append(std::span(ids).subspan(i, 1), &logits).ok() && all_ok;
        CHECK(all_ok);
        CHECK(allocations.load() - before == 0);
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
