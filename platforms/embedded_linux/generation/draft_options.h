// SPDX-License-Identifier: Apache-2.0
// The options of commands that generate: how tokens may be guessed.
#pragma once

#include <cstdint>
#include <string>

#include <graft/graft.h>
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

class DraftOptions {
 public:
  void AddTo(Options* options);
  /// Opens the draft's model, if there is one, with room for as many tokens as the model's session
  /// has. False after a failure, which has been printed.
  bool Open(const ThreadOptions& threads, const CacheOptions& cache, uint64_t context);
  void SetIn(graft_generate_options* options) const;
  bool is_on() const { return from_text_ || !file_.empty(); }

 private:
  bool from_text_ = false;
  std::string file_;  // of the model; empty: none
  ModelHandle model_;
  SessionHandle session_;
};

}  // namespace graft_run
