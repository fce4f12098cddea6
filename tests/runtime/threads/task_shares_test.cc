// SPDX-License-Identifier: Apache-2.0
// Every task of a stage is taken once, whoever takes it and in whatever order.
#include "runtime/threads/task_shares.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

namespace graft::runtime {

TEST_SUITE("runtime/task shares") {
  TEST_CASE("a worker takes its share in order, then from the end of another's") {
    TaskShares shares;
    REQUIRE(shares.Create(2).ok());
    shares.Divide(6);
    std::vector<uint32_t> taken;
    for (const unsigned worker : {0u, 1u, 0u, 0u, 0u, 1u}) taken.push_back(shares.Take(worker));
    CHECK(taken == std::vector<uint32_t>{0, 3, 1, 2, 5, 4});
    CHECK(shares.FirstOf(0, 6) == 0);
    CHECK(shares.FirstOf(1, 6) == 3);
  }

  TEST_CASE("more workers than tasks: those without a share help") {
    TaskShares shares;
    REQUIRE(shares.Create(5).ok());
    shares.Divide(2);
    std::vector<uint32_t> taken = {shares.Take(0), shares.Take(1)};
    std::sort(taken.begin(), taken.end());
    CHECK(taken == std::vector<uint32_t>{0, 1});
    unsigned without = 0;
    for (unsigned worker = 0; worker < 5; ++worker) {
      const uint32_t first = shares.FirstOf(worker, 2);
      CHECK(first <= 2);
      without += first == 2 ? 1 : 0;
    }
    CHECK(without == 3);
  }

  TEST_CASE("threads that take at once share all tasks out") {
    constexpr unsigned kWorkers = 4;
    TaskShares shares;
    REQUIRE(shares.Create(kWorkers).ok());
    for (const uint32_t count : {1u, 3u, 64u, 1000u}) {
      CAPTURE(count);
      shares.Divide(count);
      std::vector<std::atomic<int>> seen(count);
      std::atomic<uint32_t> tickets{0};
      std::vector<std::thread> team;
      for (unsigned worker = 0; worker < kWorkers; ++worker) {
        team.emplace_back([&, worker] {
          while (tickets.fetch_add(1) < count) seen[shares.Take(worker)].fetch_add(1);
        });
      }
      for (std::thread& thread : team) thread.join();
      CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& n) { return n.load() == 1; }));
    }
  }
}

}  // namespace graft::runtime
