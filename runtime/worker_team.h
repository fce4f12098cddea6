// SPDX-License-Identifier: Apache-2.0
// WorkerTeam: threads that enter a computation together and keep step through it with barriers.
//
// A forward pass is a few hundred short stages. A pool that forks and joins for each of them pays a
// wake-up and a system call a stage; a team is woken once for a whole pass and meets at a spinning
// barrier between stages, which costs about as much as moving a cache line there and back.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "schema/result.h"

namespace graft::runtime {

class WorkerTeam {
 public:
  using Task = void (*)(void* context, unsigned worker);

  /// `size` workers, of which the caller of Run is the first. Errors   kInvalidArgument (0, or more
  /// than kMaxWorkers), kOutOfMemory (the system gives no more threads).
  static Result<std::unique_ptr<WorkerTeam>> Create(unsigned size);
  static constexpr unsigned kMaxWorkers = 256;
  ~WorkerTeam();
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;

  unsigned size() const { return size_; }

  /// Calls task(context, worker) for worker 0 .. size()-1, each on a thread of its own, and returns
  /// when all have returned. One caller at a time. Allocates nothing.
  void Run(Task task, void* context);

  /// Inside a task: waits until every worker is here. What any wrote before is visible to all
  /// after. Starts a new round of NextTicket().
  void Barrier();
  /// Inside a task: 0, 1, 2, ... each to one worker, since the last barrier.
  size_t NextTicket() { return ticket_.fetch_add(1, std::memory_order_relaxed); }

 private:
  explicit WorkerTeam(unsigned size) : size_(size) {}
  struct Helper {
    WorkerTeam* team = nullptr;
    unsigned worker = 0;
    pthread_t thread = {};
    bool started = false;
  };
  static void* HelperMain(void* argument);
  void HelperLoop(unsigned worker);
  uint32_t AwaitGeneration(uint32_t seen);

  const unsigned size_;
  std::unique_ptr<Helper[]> helpers_;
  Task task_ = nullptr;
  void* context_ = nullptr;

  alignas(64) std::atomic<size_t> ticket_{0};
  alignas(64) std::atomic<unsigned> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
  alignas(64) std::atomic<uint32_t> generation_{
      0};  // counts calls of Run; the helpers wait for it to move
  std::atomic<unsigned> sleepers_{0};
  std::atomic<bool> quit_{false};
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace graft::runtime
