// SPDX-License-Identifier: Apache-2.0
// WorkerTeam: threads that go through the stages of a computation together.
//
// A forward pass is a few hundred short stages, each a few tasks. A pool that forks and joins pays
// a wake-up and a system call a stage. A team is woken once for a whole pass: its threads take
// tasks from one shared word, and whoever finishes a stage's last task opens the next stage. Nobody
// waits for a thread that holds no task, so a thread that the system has put aside (or that sits on
// a slow core) delays only what it has taken.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "runtime/platform/cpus.h"
#include "runtime/threads/cpu_turn.h"
#include "schema/result.h"

namespace graft::runtime {

/// What a team goes through. Called from the team's threads; what one stage wrote is visible to the
/// next.
class StagedWork {
 public:
  /// Tasks of stage `stage`, at least 1 and at most kMaxTasks.
  virtual uint32_t TaskCount(uint32_t stage) = 0;
  virtual void RunTask(uint32_t stage, uint32_t task, unsigned worker) = 0;
  /// Called once, by one thread, after all tasks of a stage; false: no further stage runs.
  virtual bool FinishStage(uint32_t stage) = 0;
  /// Memory that `worker`, which has just done a task of `stage`, will probably read in a later
  /// one: it is brought near while the worker waits. It need not be there any more by then.
  virtual std::span<const uint8_t> NextRead(uint32_t /*stage*/, unsigned /*worker*/) { return {}; }

 protected:
  ~StagedWork() = default;
};

class WorkerTeam {
 public:
  static constexpr unsigned kMaxWorkers = 256;
  static constexpr uint32_t kMaxTasks = (1u << 20) - 2 * kMaxWorkers;
  static constexpr uint32_t kMaxStages = (1u << 24) - 2;

  /// `size` workers, of which the caller of Run is one; all of them stay on `cpus` while they work,
  /// unless it is empty.
  /// Errors   kInvalidArgument (0, more than kMaxWorkers, or those of CheckAffinity), kOutOfMemory
  ///          (the system gives no more threads).
  static Result<std::unique_ptr<WorkerTeam>> Create(unsigned size, const CpuSet& cpus = {});
  ~WorkerTeam();
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;

  unsigned size() const { return size_; }
  /// Workers that sleep, beside the caller of Run: all others, soon after Run has returned.
  unsigned sleepers() const { return sleepers_.load(); }

  /// Runs all tasks of stages 0 .. stages-1 in order of stages. Worker 0 is the calling thread. One
  /// caller at a time.
  /// Requires stages <= kMaxStages. Allocates nothing.
  void Run(StagedWork& work, uint32_t stages);

 private:
  WorkerTeam(unsigned size, const CpuSet& cpus) : size_(size), cpus_(cpus) {}
  struct Helper {
    WorkerTeam* team = nullptr;
    unsigned worker = 0;
    pthread_t thread = {};
    bool started = false;
  };
  static void* HelperMain(void* argument);
  void TakeTasks(unsigned worker);
  void OpenStagesAfter(uint32_t stage, unsigned worker);
  bool AwaitWork();

  const unsigned size_;
  const CpuSet cpus_;  // empty: any
  struct alignas(64) Turn {
    CpuTurn of_worker;
  };
  std::unique_ptr<Helper[]> helpers_;
  std::unique_ptr<Turn[]> turns_;
  StagedWork* work_ = nullptr;
  uint32_t stages_ = 0;

  // stage | tasks | next task: see Cursor in worker_team.cc. A thread decides by this word alone
  // whether it holds a task; only one that does may look at the work.
  alignas(64) std::atomic<uint64_t> cursor_;
  alignas(64) std::atomic<uint32_t> finished_{0};  // tasks of the open stage
  alignas(64) std::atomic<unsigned> sleepers_{0};
  std::atomic<bool> quit_{false};
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t wake_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace graft::runtime
