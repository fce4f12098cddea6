// SPDX-License-Identifier: Apache-2.0
#include "runtime/threads/parallel_tasks.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <utility>

#include "runtime/threads/worker_team.h"

namespace graft::runtime {
namespace {

using Task = std::function<Status(size_t index, unsigned worker)>;

class TaskList final : public StagedWork {
 public:
  TaskList(size_t count, const Task& task) : count_(count), task_(task) {}

  // In stages of as many tasks as a team takes at once.
  uint32_t Stages() const {
    return static_cast<uint32_t>((count_ + WorkerTeam::kMaxTasks - 1) / WorkerTeam::kMaxTasks);
  }
  uint32_t TaskCount(uint32_t stage) override {
    const size_t left = count_ - size_t{stage} * WorkerTeam::kMaxTasks;
    return static_cast<uint32_t>(std::min<size_t>(WorkerTeam::kMaxTasks, left));
  }
  void RunTask(uint32_t stage, uint32_t task, unsigned worker) override {
    if (failed_.load(std::memory_order_relaxed)) return;
    Status status = Try(size_t{stage} * WorkerTeam::kMaxTasks + task, worker);
    if (status.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (status_.ok()) status_ = std::move(status);
    failed_.store(true, std::memory_order_relaxed);
  }
  bool FinishStage(uint32_t) override { return !failed_.load(std::memory_order_relaxed); }

  Status TakeStatus() { return std::move(status_); }

 private:
  // Nothing may be thrown out of a thread of the team.
  Status Try(size_t index, unsigned worker) {
    try {
      return task_(index, worker);
    } catch (const std::bad_alloc&) {
      return Status(StatusCode::kOutOfMemory, "out of memory");
    }
  }

  const size_t count_;
  const Task& task_;
  std::mutex mutex_;
  Status status_;
  std::atomic<bool> failed_{false};
};

}  // namespace

Status RunTasks(unsigned threads, size_t count, const Task& task) {
  if (count == 0) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(auto team, WorkerTeam::Create(std::max(1u, threads)));
  TaskList list(count, task);
  team->Run(list, list.Stages());
  return list.TakeStatus();
}

}  // namespace graft::runtime
