// SPDX-License-Identifier: Apache-2.0
#include "runtime/threads/worker_team.h"

#include <sched.h>

#include <algorithm>
#include <new>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace graft::runtime {
namespace {

void CpuRelax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

// Within a pass the next stage is near: spin, then give the core away in case whoever works has
// none.
constexpr unsigned kStageSpins = 2000;
// Between two passes lies the choice of a token: spin about that long, then sleep.
constexpr unsigned kIdleSpins = 20000;

// Lines that a waiting worker asks for at a time, and bytes that it asks for before it works for
// all: what a kernel's own prefetching leaves out at the start of a stream.
constexpr size_t kLineBytes = 64;
constexpr size_t kLinesAtOnce = 8;
constexpr size_t kStreamStartBytes = 3 << 10;

/// Brings up to `bytes` of `ahead` into the second-level cache and takes them off it. Prefetching
/// from memory that is gone does nothing.
void BringNear(std::span<const uint8_t>& ahead, size_t bytes) {
  bytes = std::min(bytes, ahead.size());
  for (size_t i = 0; i < bytes; i += kLineBytes) {
    __builtin_prefetch(ahead.data() + i, /*rw=*/0, /*locality=*/2);
  }
  ahead = ahead.subspan(bytes);
}

// 24 bits of stage, 20 of task count, 20 of next task. Threads that find no task left take tickets
// beyond the count: at most one each a stage, so these never run into the count.
constexpr unsigned kTaskBits = 20;
constexpr uint64_t kTaskMask = (uint64_t{1} << kTaskBits) - 1;
constexpr uint64_t kIdle = ~uint64_t{0} << (2 * kTaskBits);

constexpr uint64_t Cursor(uint32_t stage, uint32_t tasks) {
  return (static_cast<uint64_t>(stage) << (2 * kTaskBits)) |
         (static_cast<uint64_t>(tasks) << kTaskBits);
}
constexpr uint32_t StageOf(uint64_t cursor) {
  return static_cast<uint32_t>(cursor >> (2 * kTaskBits));
}
constexpr uint32_t TasksOf(uint64_t cursor) {
  return static_cast<uint32_t>((cursor >> kTaskBits) & kTaskMask);
}
constexpr uint32_t TicketOf(uint64_t cursor) { return static_cast<uint32_t>(cursor & kTaskMask); }
constexpr uint32_t kIdleStage = StageOf(kIdle);

}  // namespace

Result<std::unique_ptr<WorkerTeam>> WorkerTeam::Create(unsigned size, const CpuSet& cpus) {
  if (size == 0 || size > kMaxWorkers) {
    return Error(StatusCode::kInvalidArgument, "%u threads asked for; 1 to %u are possible", size,
                 kMaxWorkers);
  }
  if (!cpus.empty()) GRAFT_RETURN_IF_ERROR(CheckAffinity(cpus));
  std::unique_ptr<WorkerTeam> team(new (std::nothrow) WorkerTeam(size, cpus));
  if (team) team->helpers_.reset(new (std::nothrow) Helper[size]);
  if (team) team->turns_.reset(new (std::nothrow) Turn[size]);
  if (!team || !team->helpers_ || !team->turns_)
    return Error(StatusCode::kOutOfMemory, "cannot allocate a team of %u threads", size);
  const CpuSet usable = cpus.empty() ? UsableCpus() : cpus;
  for (unsigned worker = 0; worker < size && size == usable.size(); ++worker)
    team->turns_[worker].of_worker.set_own_cpu({usable[worker]});
  team->cursor_.store(kIdle);
  for (unsigned worker = 1; worker < size; ++worker) {
    Helper& helper = team->helpers_[worker];
    helper.team = team.get();
    helper.worker = worker;
    if (pthread_create(&helper.thread, nullptr, HelperMain, &helper) != 0) {
      return Error(StatusCode::kOutOfMemory, "cannot start thread %u of %u", worker + 1, size);
    }
    helper.started = true;
  }
  return team;
}

WorkerTeam::~WorkerTeam() {
  if (!helpers_) return;
  quit_.store(true);
  pthread_mutex_lock(&mutex_);
  pthread_cond_broadcast(&wake_);
  pthread_mutex_unlock(&mutex_);
  for (unsigned worker = 1; worker < size_; ++worker) {
    if (helpers_[worker].started) pthread_join(helpers_[worker].thread, nullptr);
  }
}

void WorkerTeam::Run(StagedWork& work, uint32_t stages) {
  if (stages == 0) return;
  const PinnedThread pinned(cpus_);  // the caller is of the team while this lasts
  if (size_ == 1) {
    for (uint32_t stage = 0; stage < stages; ++stage) {
      const uint32_t tasks = work.TaskCount(stage);
      for (uint32_t task = 0; task < tasks; ++task) work.RunTask(stage, task, 0);
      if (!work.FinishStage(stage)) return;
    }
    return;
  }
  work_ = &work;
  stages_ = stages;
  finished_.store(0, std::memory_order_relaxed);
  // Sequentially consistent, here and in AwaitWork: either this thread sees the sleeper or the
  // sleeper the work.
  cursor_.store(Cursor(0, work.TaskCount(0)));
  if (sleepers_.load() > 0) {
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
  }
  TakeTasks(0);
}

// Works until the team is idle.
void WorkerTeam::TakeTasks(unsigned worker) {
  CpuTurn& turn = turns_[worker].of_worker;
  std::span<const uint8_t> ahead;
  turn.BeginPass();
  turn.BeforeTask();
  uint64_t cursor = cursor_.fetch_add(1, std::memory_order_acq_rel);
  while (StageOf(cursor) != kIdleStage) {
    const uint32_t stage = StageOf(cursor);
    if (TicketOf(cursor) < TasksOf(cursor)) {
      work_->RunTask(stage, TicketOf(cursor), worker);
      turn.AfterTask();
      ahead = work_->NextRead(stage, worker);
      if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == TasksOf(cursor)) {
        BringNear(ahead, kStreamStartBytes);
        OpenStagesAfter(stage, worker);
      }
    } else {
      // The stage's number alone would not do: a later Run may have opened a stage of the same
      // number.
      const auto closed = [&](uint64_t now) {
        return StageOf(now) == stage && TicketOf(now) >= TasksOf(now);
      };
      for (unsigned spins = 0; closed(cursor_.load(std::memory_order_acquire)); ++spins) {
        if (!ahead.empty()) {
          BringNear(ahead, kLinesAtOnce * kLineBytes);
        } else if (spins < kStageSpins || turn.IsPatient()) {
          CpuRelax();
        } else {
          sched_yield();
        }
      }
    }
    turn.BeforeTask();
    cursor = cursor_.fetch_add(1, std::memory_order_acq_rel);
  }
  turn.EndPass();
}

// The calling thread has finished the last task of `stage`. Stages of one task it does at once,
// rather than hand them over.
void WorkerTeam::OpenStagesAfter(uint32_t stage, unsigned worker) {
  while (true) {
    if (!work_->FinishStage(stage) || ++stage == stages_) {
      cursor_.store(kIdle, std::memory_order_release);
      return;
    }
    const uint32_t tasks = work_->TaskCount(stage);
    if (tasks > 1) {
      finished_.store(0, std::memory_order_relaxed);
      cursor_.store(Cursor(stage, tasks), std::memory_order_release);
      return;
    }
    work_->RunTask(stage, 0, worker);
  }
}

void* WorkerTeam::HelperMain(void* argument) {
  const auto* helper = static_cast<const Helper*>(argument);
  const PinnedThread pinned(helper->team->cpus_);
  while (helper->team->AwaitWork()) helper->team->TakeTasks(helper->worker);
  return nullptr;
}

// Returns whether there may be work; false: the team ends.
bool WorkerTeam::AwaitWork() {
  const auto idle = [this] { return StageOf(cursor_.load()) == kIdleStage && !quit_.load(); };
  for (unsigned spins = 0; spins < kIdleSpins; ++spins) {
    if (!idle()) return !quit_.load();
    CpuRelax();
  }
  pthread_mutex_lock(&mutex_);
  sleepers_.fetch_add(1);
  while (idle()) pthread_cond_wait(&wake_, &mutex_);
  sleepers_.fetch_sub(1);
  pthread_mutex_unlock(&mutex_);
  return !quit_.load();
}

}  // namespace graft::runtime
