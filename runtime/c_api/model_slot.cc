// SPDX-License-Identifier: Apache-2.0
#include "runtime/c_api/model_slot.h"

#include <algorithm>

#include "runtime/c_api/c_api_support.h"

namespace graft::capi {

std::shared_ptr<const ModelState> ModelSlot::state() const {
  const std::lock_guard<std::mutex> lock(state_mutex_);
  return state_;
}

void ModelSlot::Add(graft_session* session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  sessions_.push_back(session);
}

void ModelSlot::Remove(graft_session* session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase(sessions_, session);
}

Status ModelSlot::Enter(const graft_session& session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // If memory was short for putting things back after a swap that failed, it is done now.
  if (running_ == 0) GRAFT_RETURN_IF_ERROR(state_->text->model()->Repair());
  if (session.model != state_->text) {
    GRAFT_RETURN_IF_ERROR(session.session->Attach(state_->text->model()));
    session.model = state_->text;
  }
  ++running_;
  return OkStatus();
}

void ModelSlot::Leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --running_;
}

Status ModelSlot::Swap(const graft_pack* pack) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (running_ > 0) {
    return Status(StatusCode::kFailedPrecondition, "a session of the model computes");
  }
  return SwapFor(pack);
}

Status ModelSlot::SwapFor(const graft_pack* pack) {
  const char* name = opened_.name.c_str();
  GRAFT_ASSIGN_OR_RETURN(auto source, WithPack(opened_, pack));
  GRAFT_ASSIGN_OR_RETURN(
      const std::shared_ptr<runtime::TextModel> text,
      runtime::TextModel::Prepare(std::move(source), opened_.options, NameOf(pack, name)));
  const auto state = std::make_shared<const ModelState>(text);
  // From here on nothing may fail that leaves the old model without its weights.
  GRAFT_RETURN_IF_ERROR(text->LoadWeights(state_->text.get(), NameOf(pack, name)));
  for (graft_session* session : sessions_) {
    session->session->Detach();
    session->model.reset();
    session->outputs.clear();
    session->numbers.clear();
    session->token_ids.clear();
  }
  const std::lock_guard<std::mutex> lock(state_mutex_);
  state_ = state;
  return OkStatus();
}

}  // namespace graft::capi
