// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/executor.h"

#include <algorithm>
#include <new>

#include "runtime/base/memory_budget.h"
#include "runtime/executor/attention_scratch.h"
#include "runtime/executor/linear_state.h"
#include "runtime/threads/parallel_tasks.h"

namespace graft::runtime {
namespace {

// Rows that go through a stage together, so that they are still in a near cache at the next step.
// As many as a block of keys has positions: two threads that store into one block take its cache
// lines from each other.
constexpr size_t kRowBlock = kKeyBlock;

constexpr uint32_t kNoStep = UINT32_MAX;

// Rows of a task of a stage by rows: at least a task for each worker if there are rows enough.
size_t RowBlock(size_t rows, unsigned workers) {
  const size_t block = std::clamp<size_t>((rows + workers - 1) / workers, 1, kRowBlock);
  return std::max(block, rows / (WorkerTeam::kMaxTasks / 2) + 1);
}

}  // namespace

Executor::Executor(const Plan& plan, WorkerTeam& team, MemoryBudget& budget)
    : plan_(plan), team_(team), budget_(budget) {}
Executor::~Executor() = default;

Result<std::unique_ptr<Executor>> Executor::Create(const Plan& plan, const PackedWeights& weights,
                                                   std::span<const KvView> caches,
                                                   std::span<float* const> states,
                                                   const LookupTables& tables, WorkerTeam& team,
                                                   MemoryBudget& budget) {
  std::unique_ptr<Executor> executor(new (std::nothrow) Executor(plan, team, budget));
  if (!executor) return Error(StatusCode::kOutOfMemory, "cannot allocate an executor");
  GRAFT_RETURN_IF_ERROR(executor->CreateSteps(weights, caches, states, tables));
  return executor;
}

Status Executor::CreateSteps(const PackedWeights& weights, std::span<const KvView> caches,
                             std::span<float* const> states, const LookupTables& tables) {
  runners_.resize(plan_.steps().size());
  GRAFT_RETURN_IF_ERROR(call_.shares.Create(team_.size()));
  GRAFT_RETURN_IF_ERROR(attention_.Create(ScratchOf(plan_), team_.size()));
  GRAFT_ASSIGN_OR_RETURN(const PageMemory unit_scales, UnitScales(plan_, weights));
  // XNNPACK looks at every scale when it makes an operator: worth sharing out.
  return RunTasks(team_.size(), runners_.size(), [&](size_t i, unsigned) -> Status {
    const Step& step = plan_.steps()[i];
    runners_[i] = step.kind->make();
    if (!runners_[i])
      return Error(StatusCode::kOutOfMemory, "cannot allocate a step of %s", step.kind->name);
    return runners_[i]->Read({plan_, step, caches, states, weights, tables, attention_,
                              reinterpret_cast<const uint16_t*>(unit_scales.data()), team_.size()});
  });
}

Status Executor::Prepare(const Binding& binding, bool singly) {
  if (prepared_ && binding == binding_ && singly == call_.singly) return OkStatus();
  prepared_ = false;
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan_, binding, &schedule_));
  if (schedule_.arena_bytes > arena_.size()) {
    budget_.Release(arena_.size());
    arena_ = PageMemory();
    GRAFT_ASSIGN_OR_RETURN(arena_, budget_.Allocate(schedule_.arena_bytes, "the activations"));
  }
  binding_ = binding;
  call_.singly = singly;
  for (const uint32_t index : schedule_.steps) {
    GRAFT_RETURN_IF_ERROR(runners_[index]->Place(
        {plan_, plan_.steps()[index], binding_, schedule_, arena_.data(), singly}));
  }
  FindNextReaders();
  prepared_ = true;
  return OkStatus();
}

void Executor::FindNextReaders() {
  next_readers_.assign(schedule_.stages.size(), kNoStep);
  uint32_t next = kNoStep;
  for (size_t i = schedule_.stages.size(); i-- > 0;) {
    next_readers_[i] = next;
    const uint32_t step = schedule_.steps[schedule_.stages[i].first];
    if (KindOf(step).reads_weights) next = step;
  }
}

void Executor::Trim() {
  budget_.Release(arena_.size());
  arena_ = PageMemory();
  prepared_ = false;
  attention_.Trim();
}

void* Executor::data(int32_t value) const { return schedule_.data(value, arena_.data()); }

uint32_t Executor::TaskCount(uint32_t index) {
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    return static_cast<uint32_t>((stage.rows + block - 1) / block);
  }
  if (HasFailed()) return 1;
  try {  // on any thread of the team, out of which nothing may be thrown
    return runners_[schedule_.steps[stage.first]]->CountTasks(call_);
  } catch (const std::bad_alloc&) {
    FailPass(StatusCode::kOutOfMemory);
    return 1;
  }
}

void Executor::RunStageRows(const Stage& stage, size_t begin, size_t end) {
  uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
    const uint32_t step = schedule_.steps[i];
    runners_[step]->RunRows(call_, begin, end);
    if (profile_ != nullptr) started_ns = profile_->AddBusy(step, started_ns);
  }
}

void Executor::RunTask(uint32_t index, uint32_t task, unsigned worker) {
  // FinishStage ends the pass: what is left undone here is not used.
  if (cancel_->load(std::memory_order_relaxed) || HasFailed()) return;
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    const size_t begin = task * block;
    RunStageRows(stage, begin, std::min(stage.rows, begin + block));
    return;
  }
  const uint32_t step = schedule_.steps[stage.first];
  const uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  if (!runners_[step]->RunTask(call_, task, worker)) FailPass(StatusCode::kInternal);
  if (profile_ != nullptr) profile_->AddBusy(step, started_ns);
}

std::span<const uint8_t> Executor::NextRead(uint32_t index, unsigned worker) {
  const uint32_t step = next_readers_[index];
  if (step == kNoStep) return {};
  return runners_[step]->FirstRead(call_, worker);
}

bool Executor::FinishStage(uint32_t index) {
  if (profile_ != nullptr) {
    const Stage& stage = schedule_.stages[index];
    const auto steps = std::span(schedule_.steps).subspan(stage.first, stage.count);
    for (const uint32_t step : steps) profile_->AddCall(step, runners_[step]->weight_bytes());
    profile_->FinishStage(steps);
  }
  if (HasFailed()) return false;
  if (!cancel_->load(std::memory_order_relaxed)) return true;
  cancelled_ = true;
  return false;
}

Status Executor::Run(size_t first_position, const std::atomic<bool>& cancel) {
  call_.first_position = first_position;
  cancel_ = &cancel;
  cancelled_ = false;
  FailPass(StatusCode::kOk);
  if (const int32_t ends = plan_.text_ends(); ends >= 0 && data(ends) != nullptr)
    call_.text_slots.Assign({static_cast<const int32_t*>(data(ends)), plan_.rows(ends, binding_)});
  if (profile_ != nullptr) profile_->StartPass();
  team_.Run(*this, static_cast<uint32_t>(schedule_.stages.size()));
  if (!HasFailed() && !cancelled_) return OkStatus();
  attention_.Abandon();
  if (!HasFailed()) return Error(StatusCode::kCancelled, "cancelled");
  if (failure_.load(std::memory_order_relaxed) == StatusCode::kOutOfMemory)
    return Error(StatusCode::kOutOfMemory, "out of memory while computing");
  return Error(StatusCode::kInternal, "a prepared operator did not run");
}

}  // namespace graft::runtime
