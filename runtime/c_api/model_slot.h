// SPDX-License-Identifier: Apache-2.0
// What a graft_model is behind its handle: the model of the moment, which a swap replaces, and the
// sessions that it has.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <graft/graft.h>
#include "runtime/chat/chat_template.h"
#include "runtime/model/model.h"
#include "runtime/platform/data_source.h"
#include "runtime/session/session.h"
#include "runtime/tasks/text_model.h"
#include "schema/status.h"
#include "schema/trust/signature.h"

namespace graft::capi {

/// A model and what was read of it. Immutable.
struct ModelState {
  explicit ModelState(std::shared_ptr<const runtime::TextModel> model)
      : text(std::move(model)), chat_template(text->model()->verified().model()) {}

  std::shared_ptr<const runtime::TextModel> text;
  runtime::ModelTemplate chat_template;
};

/// How the model was opened, for the next time.
struct OpenedAs {
  std::string name;
  std::shared_ptr<const runtime::DataSource> base;
  runtime::FileAccess access = runtime::FileAccess::kMap;
  runtime::ModelOptions options;
  std::vector<schema::PublicKey> trusted;  // none: files need no signature
};

class ModelSlot {
 public:
  ModelSlot(OpenedAs opened, std::shared_ptr<const ModelState> state)
      : opened_(std::move(opened)), state_(std::move(state)) {}

  /// The model of the moment; it stays what it is as long as it is held. Any thread.
  std::shared_ptr<const ModelState> state() const;

  /// Makes what `pack` makes of the base the model, or the base itself if it is null. All sessions
  /// lose their tokens. After a failure all is as it was.
  /// Errors   kFailedPrecondition: a session computes; as opening.
  Status Swap(const graft_pack* pack);

  void Add(graft_session* session);
  void Remove(graft_session* session);
  /// Before and after a call that uses the session, which is made anew if the model is another.
  /// Errors   those of Session::Attach and Model::Repair.
  Status Enter(const graft_session& session);
  void Leave();

 private:
  Status SwapFor(const graft_pack* pack);

  const OpenedAs opened_;
  std::mutex mutex_;  // held while a swap is made
  std::vector<graft_session*> sessions_;
  size_t running_ = 0;
  mutable std::mutex state_mutex_;  // after mutex_
  std::shared_ptr<const ModelState> state_;
};

}  // namespace graft::capi
