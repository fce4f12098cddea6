// SPDX-License-Identifier: Apache-2.0
// The team of threads and the memory that sessions stand on.
#include "runtime/threads/worker_team.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/base/page_memory.h"
#include "runtime/platform/cpus.h"
#include "runtime/threads/cpu_turn.h"

namespace graft::runtime {
namespace {

// Stage i has counts[i] tasks; each must run once, and after all of the stage before.
class Recorder final : public StagedWork {
 public:
  explicit Recorder(std::vector<uint32_t> counts)
      : counts_(std::move(counts)), seen_(counts_.size()) {
    for (size_t i = 0; i < counts_.size(); ++i)
      seen_[i] = std::vector<std::atomic<int>>(counts_[i]);
  }
  uint32_t TaskCount(uint32_t stage) override { return counts_[stage]; }
  void RunTask(uint32_t stage, uint32_t task, unsigned worker) override {
    if (stage > 0 && done_[stage - 1].load() != counts_[stage - 1]) out_of_order.fetch_add(1);
    seen_[stage][task].fetch_add(1);
    last_worker.store(worker);
    done_[stage].fetch_add(1);
  }
  bool FinishStage(uint32_t stage) override {
    finished.fetch_add(1);
    return stage != stop_after;
  }
  size_t RunOnce() const {
    size_t once = 0;
    for (const auto& stage : seen_) {
      for (const auto& task : stage) once += task.load() == 1 ? 1 : 0;
    }
    return once;
  }

  uint32_t stop_after = UINT32_MAX;
  std::atomic<unsigned> finished{0};
  std::atomic<unsigned> out_of_order{0};
  std::atomic<unsigned> last_worker{0};

 private:
  std::vector<uint32_t> counts_;
  std::vector<std::vector<std::atomic<int>>> seen_;
  std::vector<std::atomic<uint32_t>> done_ = std::vector<std::atomic<uint32_t>>(counts_.size());
};

TEST_SUITE("runtime/worker team") {
  TEST_CASE("runs each task of each stage once, in order of stages") {
    for (const unsigned size : {1u, 2u, 7u}) {
      auto team = WorkerTeam::Create(size);
      REQUIRE(team.ok());
      for (int round = 0; round < 50; ++round) {
        Recorder work({1, 5, 1, 1, 31, 2, 1});
        (*team)->Run(work, 7);
        CHECK(work.RunOnce() == 42);
        CHECK(work.finished.load() == 7);
        CHECK(work.out_of_order.load() == 0);
        CHECK(work.last_worker.load() < size);
      }
    }
  }

  TEST_CASE("many runs of one short stage keep the threads together") {
    auto team = WorkerTeam::Create(3);
    REQUIRE(team.ok());
    size_t once = 0;
    for (int round = 0; round < 2000; ++round) {
      Recorder work({3});
      (*team)->Run(work, 1);
      once += work.RunOnce();
    }
    CHECK(once == 6000);
  }

  TEST_CASE("stops after the stage that says so") {
    for (const unsigned size : {1u, 3u}) {
      auto team = WorkerTeam::Create(size);
      REQUIRE(team.ok());
      Recorder work({4, 4, 4});
      work.stop_after = 1;
      (*team)->Run(work, 3);
      CHECK(work.finished.load() == 2);
      CHECK(work.RunOnce() == 8);
      Recorder again({2, 2});
      (*team)->Run(again, 2);
      CHECK(again.RunOnce() == 4);
    }
  }

  TEST_CASE("refuses sizes it cannot have") {
    for (const unsigned size : {0u, WorkerTeam::kMaxWorkers + 1}) {
      const auto team = WorkerTeam::Create(size);
      REQUIRE(!team.ok());
      CHECK(team.status().code() == StatusCode::kInvalidArgument);
      CHECK(team.status().message().find(std::to_string(size)) != std::string::npos);
    }
  }
}

TEST_SUITE("runtime/CPU turn") {
  TEST_CASE("a tick is foreseen from the distance of the two clocks") {
    constexpr uint64_t kTick = 4000, kBehind = 2100, kStart = 900'000;
    TickForecast ticks;
    ticks.Reset(kTick);
    // Ticks are at multiples of kTick; the coarse clock stands kBehind below them.
    const auto left = [&](uint64_t now) {
      return ticks.LeftNs(now, now / kTick * kTick - kBehind);
    };
    CHECK(left(kStart + 1000) == kTick);  // for all that is known, one has just been
    CHECK(left(kStart + 2000) == 3001);
    CHECK(left(kStart + kTick + 10) == kTick);  // a better guess
    CHECK(left(kStart + kTick + 1010) == 3001);
    CHECK(left(kStart + 3 * kTick + 3990) < 30);
    CHECK(ticks.LeftNs(5, 10) == kTick);  // clocks that disagree
    for (const uint64_t tick : {uint64_t{1}, uint64_t{1'000'000}}) {
      CAPTURE(tick);
      ticks.Reset(tick);
      for (uint64_t now = 7; now < 10'000'000; now += 999'983) {
        const uint64_t ns = ticks.LeftNs(now, 0);
        CHECK(ns >= 1);
        CHECK(ns <= tick);
      }
    }
  }

  TEST_CASE(
      "beside threads that take its CPUs, a team does each task once and its caller goes back") {
    const CpuSet before = UsableCpus();
    const CpuSet few(before.begin(), before.begin() + std::min<size_t>(2, before.size()));
    std::atomic<bool> quit{false};
    std::vector<std::thread> takers;
    for (const unsigned cpu : few) {
      takers.emplace_back([&quit, cpu] {
        const PinnedThread pinned({cpu});
        while (!quit.load(std::memory_order_relaxed)) {
        }
      });
    }
    for (const unsigned size : {static_cast<unsigned>(few.size()), 3u}) {  // a CPU each, or not
      const auto team = WorkerTeam::Create(size, few);
      REQUIRE(team.ok());
      size_t runs = 0, once = 0, back = 0;
      const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(40);
      for (; std::chrono::steady_clock::now() < until; ++runs) {
        Recorder work({1, 40, 1, 90});
        (*team)->Run(work, 4);
        once += work.RunOnce();
        back += UsableCpus() == before ? 1 : 0;
      }
      CHECK(once == runs * 132);
      CHECK(back == runs);
    }
    quit.store(true);
    for (std::thread& taker : takers) taker.join();
  }
}

TEST_SUITE("runtime/page memory") {
  TEST_CASE("gives zeros, and says how much it could not give and for what") {
    const auto memory = PageMemory::Allocate(10000, "a test");
    REQUIRE(memory.ok());
    size_t nonzero = 0;
    for (size_t i = 0; i < 10000; ++i) nonzero += memory->data()[i] != 0 ? 1 : 0;
    CHECK(nonzero == 0);
    for (const uint64_t bytes : {uint64_t{1} << 60, UINT64_MAX}) {
      const auto refused = PageMemory::Allocate(bytes, "the key/value cache");
      REQUIRE(!refused.ok());
      CHECK(refused.status().code() == StatusCode::kOutOfMemory);
      CHECK(refused.status().message().find(std::to_string(bytes)) != std::string::npos);
      CHECK(refused.status().message().find("the key/value cache") != std::string::npos);
    }
  }
}

}  // namespace
}  // namespace graft::runtime
