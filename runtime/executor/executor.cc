// SPDX-License-Identifier: Apache-2.0
#include "runtime/executor/executor.h"

#include <algorithm>
#include <new>

#include "runtime/base/memory_budget.h"
#include "runtime/executor/attention_scratch.h"
#include "runtime/executor/row_steps.h"
#include "runtime/threads/parallel_tasks.h"

namespace graft::runtime {
namespace {

// Rows that go through a stage together, so that they are still in a near cache at the next step.
// As many as a block of keys has positions: two threads that store into one block take its cache
// lines from each other.
constexpr size_t kRowBlock = kKeyBlock;

// How much of the weights that come next is brought near: a part of a second-level cache that
// leaves the rest to what is computed meanwhile.
constexpr size_t kAheadBytes = 128 << 10;
constexpr uint32_t kNoStep = UINT32_MAX;

// Rows of a task of a stage by rows: at least a task for each worker if there are rows enough.
size_t RowBlock(size_t rows, unsigned workers) {
  const size_t block = std::clamp<size_t>((rows + workers - 1) / workers, 1, kRowBlock);
  return std::max(block, rows / (WorkerTeam::kMaxTasks / 2) + 1);
}

}  // namespace

Executor::Executor(const Plan& plan, const LookupTables& tables, WorkerTeam& team,
                   MemoryBudget& budget)
    : plan_(plan), tables_(tables), team_(team), budget_(budget) {}
Executor::~Executor() = default;

Result<std::unique_ptr<Executor>> Executor::Create(const Plan& plan, const PackedWeights& weights,
                                                   std::span<const KvView> caches,
                                                   const LookupTables& tables, WorkerTeam& team,
                                                   MemoryBudget& budget) {
  std::unique_ptr<Executor> executor(new (std::nothrow) Executor(plan, tables, team, budget));
  if (!executor) return Error(StatusCode::kOutOfMemory, "cannot allocate an executor");
  GRAFT_RETURN_IF_ERROR(executor->CreateSteps(weights, caches));
  return executor;
}

Status Executor::CreateSteps(const PackedWeights& weights, std::span<const KvView> caches) {
  states_.resize(plan_.steps().size());
  GRAFT_RETURN_IF_ERROR(shares_.Create(team_.size()));
  GRAFT_ASSIGN_OR_RETURN(const PageMemory unit_scales, UnitScales(plan_, weights));
  // XNNPACK looks at every scale when it makes an operator: worth sharing out.
  GRAFT_RETURN_IF_ERROR(RunTasks(team_.size(), states_.size(), [&](size_t i, unsigned) {
    const Step& step = plan_.steps()[i];
    ReadStep(plan_, step, caches, &states_[i]);
    if (step.kind != StepKind::kLinears) return OkStatus();
    GRAFT_ASSIGN_OR_RETURN(states_[i].linears,
                           CreateLinears(plan_, step, weights, team_.size(), unit_scales));
    return OkStatus();
  }));
  return attention_.Create(ScratchOf(plan_), team_.size());
}

Status Executor::Prepare(const Binding& binding) {
  if (prepared_ && binding == binding_) return OkStatus();
  prepared_ = false;
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan_, binding, &schedule_));
  if (schedule_.arena_bytes > arena_.size()) {
    budget_.Release(arena_.size());
    arena_ = PageMemory();
    GRAFT_ASSIGN_OR_RETURN(arena_, budget_.Allocate(schedule_.arena_bytes, "the activations"));
  }
  binding_ = binding;
  for (const uint32_t index : schedule_.steps) {
    GRAFT_RETURN_IF_ERROR(PrepareStep(plan_.steps()[index], states_[index]));
  }
  FindNextLinears();
  prepared_ = true;
  return OkStatus();
}

void Executor::FindNextLinears() {
  next_linears_.assign(schedule_.stages.size(), kNoStep);
  uint32_t next = kNoStep;
  for (size_t i = schedule_.stages.size(); i-- > 0;) {
    next_linears_[i] = next;
    const uint32_t step = schedule_.steps[schedule_.stages[i].first];
    if (plan_.steps()[step].kind == StepKind::kLinears) next = step;
  }
}

void Executor::Trim() {
  budget_.Release(arena_.size());
  arena_ = PageMemory();
  prepared_ = false;
  attention_.Trim();
}

void* Executor::data(int32_t value) const {
  const ValuePlace& place = schedule_.places[static_cast<size_t>(value)];
  return place.bytes == 0 ? nullptr : arena_.data() + place.offset;
}

Status Executor::PrepareStep(const Step& step, StepState& state) {
  const int32_t measured = step.outputs.empty() ? step.inputs[0] : step.outputs[0];
  state.rows = plan_.rows(measured, binding_);
  state.width = plan_.row_elements(measured, binding_);
  state.in0 = step.inputs.empty() ? nullptr : static_cast<const float*>(data(step.inputs[0]));
  const int32_t second = step.inputs.size() > 1 ? step.inputs[1] : -1;
  state.in1 = second >= 0 ? static_cast<const float*>(data(second)) : nullptr;
  state.out = step.outputs.empty() ? nullptr : static_cast<float*>(data(step.outputs[0]));
  switch (step.kind) {
    case StepKind::kEmbedding:
    case StepKind::kAngles:
      state.indices = static_cast<const int32_t*>(data(step.inputs[0]));
      break;
    case StepKind::kSelectRows:
      state.indices = static_cast<const int32_t*>(data(step.inputs[1]));
      break;
    case StepKind::kQuantize: {
      auto* bytes = static_cast<uint8_t*>(data(step.outputs[0]));
      state.codes = reinterpret_cast<int8_t*>(bytes);
      state.quantization =
          reinterpret_cast<RowQuantization*>(bytes + QuantizedCodesBytes(state.rows, state.width));
      break;
    }
    case StepKind::kStoreKv:
    case StepKind::kAttention:
      if (!state.cached) {
        const int32_t stored = step.kind == StepKind::kStoreKv ? step.outputs[0] : step.inputs[1];
        state.view.capacity = KeyValuesCapacity(plan_, stored, binding_);
        state.view.Place(static_cast<uint8_t*>(data(stored)));
      }
      state.rows = plan_.rows(step.inputs[0], binding_);
      state.text_ends =
          step.inputs.size() > 2 ? static_cast<const int32_t*>(data(step.inputs[2])) : nullptr;
      break;
    case StepKind::kPoolRows:
      state.in_rows = plan_.rows(step.inputs[0], binding_);
      state.text_ends = static_cast<const int32_t*>(static_cast<const void*>(state.in1));
      break;
    case StepKind::kConcatenateRows:
      state.parts.clear();
      for (const int32_t input : step.inputs)
        state.parts.push_back(
            {static_cast<const float*>(data(input)), plan_.rows(input, binding_)});
      break;
    case StepKind::kLinears: {
      const RowQuantization* quantization = nullptr;
      const auto* codes = reinterpret_cast<const uint8_t*>(state.in1);
      if (codes != nullptr) {
        const size_t in_features = state.linears[0].weights->in_features;
        quantization = reinterpret_cast<const RowQuantization*>(
            codes + QuantizedCodesBytes(state.rows, in_features));
      }
      state.tasks.clear();
      state.weight_bytes = 0;
      for (size_t i = 0; i < state.linears.size(); ++i) {
        LinearState& linear = state.linears[i];
        auto* out = static_cast<float*>(data(step.outputs[i]));
        linear.runs = out != nullptr;
        if (!linear.runs) continue;
        state.weight_bytes += linear.weights->packed_bytes;
        const void* input =
            linear.weights->quantizes_input() ? static_cast<const void*>(codes) : state.in0;
        for (size_t slice = 0; slice < linear.slice_count; ++slice) {
          GRAFT_RETURN_IF_ERROR(linear.slices[slice].Prepare(state.rows, input, quantization,
                                                             out + slice * linear.slice_rows));
          state.tasks.push_back(static_cast<uint32_t>(i << 16 | slice));
        }
      }
      break;
    }
    case StepKind::kRmsNorm:
    case StepKind::kLayerNorm:
    case StepKind::kRope:
    case StepKind::kAdd:
    case StepKind::kMultiply:
    case StepKind::kActivation:
    case StepKind::kGatedActivation:
    case StepKind::kScale:
    case StepKind::kConstant:
    case StepKind::kPatches:
    case StepKind::kPoolPixels:
      break;
  }
  return OkStatus();
}

uint32_t Executor::TaskCount(uint32_t index) {
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    return static_cast<uint32_t>((stage.rows + block - 1) / block);
  }
  const uint32_t step = schedule_.steps[stage.first];
  if (plan_.steps()[step].kind == StepKind::kLinears) {
    const auto tasks = static_cast<uint32_t>(states_[step].tasks.size());
    shares_.Divide(tasks);
    return tasks;
  }
  return attention_.Plan(call_, states_[step]);
}

void Executor::RunStageRows(const Stage& stage, size_t begin, size_t end) {
  uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
    const uint32_t step = schedule_.steps[i];
    const StepKind kind = plan_.steps()[step].kind;
    RunRows(states_[step], kind, call_, begin, end);
    if (kind == StepKind::kEmbedding) tables_.DidRead(end - begin);
    if (profile_ != nullptr) started_ns = profile_->AddBusy(kind, started_ns);
  }
}

void Executor::RunTask(uint32_t index, uint32_t task, unsigned worker) {
  // FinishStage ends the pass: what is left undone here is not used.
  if (cancel_->load(std::memory_order_relaxed)) return;
  const Stage& stage = schedule_.stages[index];
  if (stage.by_rows) {
    const size_t block = RowBlock(stage.rows, team_.size());
    const size_t begin = task * block;
    RunStageRows(stage, begin, std::min(stage.rows, begin + block));
    return;
  }
  const uint32_t step = schedule_.steps[stage.first];
  StepState& state = states_[step];
  const StepKind kind = plan_.steps()[step].kind;
  const uint64_t started_ns = profile_ == nullptr ? 0 : Profile::NowNs();
  if (kind == StepKind::kLinears) {
    const uint32_t slice = state.tasks[shares_.Take(worker)];
    if (!state.linears[slice >> 16].slices[slice & 0xFFFF].Run().ok())
      failed_.store(true, std::memory_order_relaxed);
  } else {
    attention_.Run(call_, state, task, worker);
  }
  if (profile_ != nullptr) profile_->AddBusy(kind, started_ns);
}

std::span<const uint8_t> Executor::NextRead(uint32_t index, unsigned worker) {
  const uint32_t step = next_linears_[index];
  if (step == kNoStep) return {};
  const StepState& state = states_[step];
  const auto tasks = static_cast<uint32_t>(state.tasks.size());
  const uint32_t first = shares_.FirstOf(worker, tasks);
  if (first == tasks) return {};
  const LinearState& linear = state.linears[state.tasks[first] >> 16];
  const LinearWeights& weights = *linear.weights;
  const uint64_t offset = (state.tasks[first] & 0xFFFF) * linear.slice_rows * weights.row_bytes;
  return {weights.packed + offset,
          static_cast<size_t>(std::min<uint64_t>(kAheadBytes, weights.packed_bytes - offset))};
}

bool Executor::FinishStage(uint32_t index) {
  if (profile_ != nullptr) {
    const Stage& stage = schedule_.stages[index];
    for (uint32_t i = stage.first; i < stage.first + stage.count; ++i) {
      const uint32_t step = schedule_.steps[i];
      profile_->AddCall(plan_.steps()[step].kind, states_[step].weight_bytes);
    }
    profile_->FinishStage();
  }
  if (!cancel_->load(std::memory_order_relaxed)) return true;
  cancelled_ = true;
  return false;
}

Status Executor::Run(size_t first_position, const std::atomic<bool>& cancel) {
  call_.first_position = first_position;
  cancel_ = &cancel;
  cancelled_ = false;
  failed_.store(false, std::memory_order_relaxed);
  if (const int32_t ends = plan_.text_ends(); ends >= 0 && data(ends) != nullptr)
    call_.text_slots.Assign({static_cast<const int32_t*>(data(ends)), plan_.rows(ends, binding_)});
  if (profile_ != nullptr) profile_->StartPass();
  team_.Run(*this, static_cast<uint32_t>(schedule_.stages.size()));
  if (failed_.load(std::memory_order_relaxed))
    return Error(StatusCode::kInternal, "a prepared operator did not run");
  if (cancelled_) {
    attention_.Abandon();
    return Error(StatusCode::kCancelled, "cancelled");
  }
  return OkStatus();
}

}  // namespace graft::runtime
