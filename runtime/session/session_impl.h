// SPDX-License-Identifier: Apache-2.0
// Session::Impl: what a session holds, for the files that its functions are divided into.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/executor/executor.h"
#include "runtime/executor/profile.h"
#include "runtime/model/model.h"
#include "runtime/ops/make_plan.h"
#include "runtime/plan/plan.h"
#include "runtime/session/saved_session.h"
#include "runtime/session/session.h"
#include "runtime/session/session_memory.h"
#include "runtime/session/session_pictures.h"
#include "runtime/session/session_states.h"
#include "runtime/threads/worker_team.h"
#include "schema/result.h"

namespace graft::runtime {

/// Puts a session's position back unless what moves it comes to its end, in whatever way it does
/// not.
class PositionGuard {
 public:
  PositionGuard(size_t* position, size_t back) : position_(position), back_(back) {}
  ~PositionGuard() {
    if (position_ != nullptr) *position_ = back_;
  }
  PositionGuard(const PositionGuard&) = delete;
  PositionGuard& operator=(const PositionGuard&) = delete;
  void Keep() { position_ = nullptr; }

 private:
  size_t* position_;
  size_t back_;
};

class Session::Impl {
 public:
  Impl(std::shared_ptr<const Model> model_in, const std::atomic<bool>& cancelled_in)
      : model(std::move(model_in)),
        plan(MakePlan(model->verified())),
        vocabulary(model->vocabulary()),
        most_positions(MostPositions(model->verified())),
        cancelled(cancelled_in) {}

  Status Initialize(const SessionOptions& options);
  void ClearOutputs();
  void DiscardUnheld() const;
  Result<uint8_t*> MakeOutput(uint64_t row_bytes, uint64_t rows);
  Status CheckIds(std::span<const int32_t> given) const;
  Status CheckPositions(size_t end) const;
  Status RunPass(size_t tokens, bool copy_states);
  Status RunChunk(std::span<const int32_t> chunk, size_t outputs, bool copy_states = false,
                  bool singly = false);
  Status CatchUpStates();
  Status Append(std::span<const int32_t> given, size_t outputs, bool singly, const float** logits);
  Status CheckSource(const TensorView& source) const;
  Status SetSource(const TensorView& source);
  Status RequireSource() const;
  Status SetPictures(std::span<PictureImages* const> given);
  Status ComputePicture(size_t index, PictureImages& picture, size_t rows);
  Status ComputeImage(const ImagePixels& image, float* rows);
  Status TakePictures(std::span<const TensorView> inputs, std::vector<TensorView>* others);
  std::span<const int32_t> held() const { return ids.first(std::min(position, ids.size())); }
  Result<std::span<const TensorView>> ForwardWithSource(std::span<const TensorView> inputs);
  Result<std::span<const TensorView>> ForwardOnTokens(std::span<const TensorView> inputs);
  Result<std::span<const TensorView>> Forward(std::span<const TensorView> inputs);
  Status ForwardTokens(std::span<const int32_t> given, bool last_only);
  bool WantsLastRow() const;
  Status RequireText() const;
  SavedSessionTarget SavedTarget();
  Result<std::span<const TensorView>> Forward(const TextBatch& texts);
  Status ForwardItems(std::span<const TensorView> inputs);
  bool IsBatchOfItems(std::span<const TensorView> inputs) const;
  Status TakeImageSize(std::span<const TensorView> inputs);
  Status BindInputs(std::span<const TensorView> inputs);
  Status BindOtherSizes(int64_t tokens);
  Status CheckSizes(int64_t tokens) const;
  void FillInputs(std::span<const TensorView> inputs, int64_t tokens);
  Status ForwardAtOnce(std::span<const TensorView> inputs);
  Status CollectOutputs(size_t rows_before, size_t rows_all);

  std::shared_ptr<const Model> model;
  std::vector<uint64_t> resized_header;  // of the plan, if it is for images of another size
  Plan plan;
  uint32_t vocabulary;
  uint32_t most_positions;
  uint32_t context_tokens = 0;
  uint32_t prefill_chunk = 0;
  MemoryBudget budget;
  std::unique_ptr<WorkerTeam> team;
  KvElement kv_element = KvElement::kFloat32;
  std::vector<KvView> caches;
  PageMemory cache_memory;
  SessionStates states;
  std::unique_ptr<Executor> executor;
  PageMemory id_memory;
  std::span<int32_t> ids;  // of every position there is room for; those before `position` are held
  size_t position = 0;
  uint32_t source_capacity = 0;
  SavedSource source;
  SessionPictures pictures;
  const std::atomic<bool>& cancelled;
  Binding binding;
  Profile profile;

  // Outputs of Forward: gathered over chunks, or left in the executor's arena.
  std::vector<TensorView> views;
  std::vector<PageMemory> gathered;
};

}  // namespace graft::runtime
