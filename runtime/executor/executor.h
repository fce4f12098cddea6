// SPDX-License-Identifier: Apache-2.0
// Executor: runs a plan. Holds the activations and what runs every step, of whatever kind.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/executor/attention_workspace.h"
#include "runtime/executor/profile.h"
#include "runtime/executor/step_runner.h"
#include "runtime/kernels/kv_store.h"
#include "runtime/model/lookup_tables.h"
#include "runtime/model/packed_weights.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/schedule.h"
#include "runtime/threads/worker_team.h"
#include "schema/result.h"

namespace graft::runtime {

class MemoryBudget;

class Executor final : private StagedWork {
 public:
  /// caches, states: one for each of the graph's. Everything passed must outlive the executor.
  /// Errors   kOutOfMemory, kUnsupported; each names the tensor.
  static Result<std::unique_ptr<Executor>> Create(const Plan& plan, const PackedWeights& weights,
                                                  std::span<const KvView> caches,
                                                  std::span<float* const> states,
                                                  const LookupTables& tables, WorkerTeam& team,
                                                  MemoryBudget& budget);
  ~Executor();

  /// Makes everything ready for these sizes. Costs next to nothing if they are those of the last
  /// call. singly: each row is to be what it would be if it were computed alone, bit for bit.
  /// Errors   kOutOfMemory, also beyond the budget.
  Status Prepare(const Binding& binding, bool singly = false);

  /// Where a value lies, after Prepare; null if it is neither read nor computed.
  void* data(int32_t value) const;

  /// Computes all outputs. first_position: positions that the caches hold already. Allocates
  /// nothing.
  /// Errors   kCancelled: *cancel became true, and each worker did no more than finish the task it
  ///          was at. kOutOfMemory, kInternal.
  Status Run(size_t first_position, const std::atomic<bool>& cancel);

  /// How many rows of the source its caches hold.
  void set_source_rows(size_t rows) { call_.source_rows = rows; }

  /// What the next calls have of images.
  void set_images(const ImageCall& images) { call_.images = images; }

  /// Gives back the memory of activations and scratch; Prepare allocates it again.
  void Trim();

  MemoryBudget& budget() { return budget_; }

  /// Starts adding up times in *profile, or stops (null). Without one, no clock is read.
  void set_profile(Profile* profile) { profile_ = profile; }

 private:
  Executor(const Plan& plan, WorkerTeam& team, MemoryBudget& budget);

  Status CreateSteps(const PackedWeights& weights, std::span<const KvView> caches,
                     std::span<float* const> states, const LookupTables& tables);
  void FindNextReaders();
  const StepKind& KindOf(uint32_t step) const { return *plan_.steps()[step].kind; }
  void RunStageRows(const Stage& stage, size_t begin, size_t end);
  void FailPass(StatusCode code) { failure_.store(code, std::memory_order_relaxed); }
  bool HasFailed() const { return failure_.load(std::memory_order_relaxed) != StatusCode::kOk; }

  // StagedWork, for the team.
  uint32_t TaskCount(uint32_t stage) override;
  void RunTask(uint32_t stage, uint32_t task, unsigned worker) override;
  bool FinishStage(uint32_t stage) override;
  std::span<const uint8_t> NextRead(uint32_t stage, unsigned worker) override;

  const Plan& plan_;
  WorkerTeam& team_;
  MemoryBudget& budget_;
  std::vector<std::unique_ptr<StepRunner>> runners_;  // one for each of the plan's steps
  PageMemory arena_;
  AttentionWorkspace attention_;
  Schedule schedule_;
  // For each stage, the step of the next that reads weights.
  std::vector<uint32_t> next_readers_;
  Binding binding_;
  bool prepared_ = false;
  Profile* profile_ = nullptr;

  // Of the running call.
  CallState call_;
  const std::atomic<bool>* cancel_ = nullptr;
  bool cancelled_ = false;
  std::atomic<StatusCode> failure_{StatusCode::kOk};  // what is left of the pass is not run
};

}  // namespace graft::runtime
