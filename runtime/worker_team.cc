// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker_team.h"

#include <sched.h>

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

// At a barrier the others are at most one stage away: spin, then give the core away in case one of
// them has none.
constexpr unsigned kBarrierSpins = 4000;
// Between two passes lies the choice of a token: spin about that long, then sleep.
constexpr unsigned kIdleSpins = 20000;

}  // namespace

Result<std::unique_ptr<WorkerTeam>> WorkerTeam::Create(unsigned size) {
  if (size == 0 || size > kMaxWorkers) {
    return Error(StatusCode::kInvalidArgument, "%u threads asked for; 1 to %u are possible", size,
                 kMaxWorkers);
  }
  std::unique_ptr<WorkerTeam> team(new (std::nothrow) WorkerTeam(size));
  if (team) team->helpers_.reset(new (std::nothrow) Helper[size]);
  if (!team || !team->helpers_)
    return Error(StatusCode::kOutOfMemory, "cannot allocate a team of %u threads", size);
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
  generation_.fetch_add(1);
  pthread_mutex_lock(&mutex_);
  pthread_cond_broadcast(&wake_);
  pthread_mutex_unlock(&mutex_);
  for (unsigned worker = 1; worker < size_; ++worker) {
    if (helpers_[worker].started) pthread_join(helpers_[worker].thread, nullptr);
  }
}

void WorkerTeam::Run(Task task, void* context) {
  if (size_ == 1) {
    task(context, 0);
    ticket_.store(0, std::memory_order_relaxed);
    return;
  }
  task_ = task;
  context_ = context;
  // Sequentially consistent, here and in AwaitGeneration: either this thread sees the sleeper or
  // the sleeper the number.
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    pthread_mutex_lock(&mutex_);
    pthread_cond_broadcast(&wake_);
    pthread_mutex_unlock(&mutex_);
  }
  task(context, 0);
  Barrier();
}

void WorkerTeam::Barrier() {
  if (size_ == 1) {
    ticket_.store(0, std::memory_order_relaxed);
    return;
  }
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    arrived_.store(0, std::memory_order_relaxed);
    ticket_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  for (unsigned spins = 0; phase_.load(std::memory_order_acquire) == phase; ++spins) {
    if (spins < kBarrierSpins) {
      CpuRelax();
    } else {
      sched_yield();
    }
  }
}

void* WorkerTeam::HelperMain(void* argument) {
  const auto* helper = static_cast<const Helper*>(argument);
  helper->team->HelperLoop(helper->worker);
  return nullptr;
}

uint32_t WorkerTeam::AwaitGeneration(uint32_t seen) {
  for (unsigned spins = 0; spins < kIdleSpins; ++spins) {
    if (generation_.load(std::memory_order_acquire) != seen)
      return generation_.load(std::memory_order_acquire);
    CpuRelax();
  }
  pthread_mutex_lock(&mutex_);
  sleepers_.fetch_add(1);
  while (generation_.load() == seen) pthread_cond_wait(&wake_, &mutex_);
  sleepers_.fetch_sub(1);
  pthread_mutex_unlock(&mutex_);
  return generation_.load(std::memory_order_acquire);
}

void WorkerTeam::HelperLoop(unsigned worker) {
  uint32_t seen = 0;
  while (true) {
    seen = AwaitGeneration(seen);
    if (quit_.load()) return;
    task_(context_, worker);
    Barrier();
  }
}

}  // namespace graft::runtime
