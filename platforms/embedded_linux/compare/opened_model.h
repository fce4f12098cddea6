// SPDX-License-Identifier: Apache-2.0
// A model that takes part in a comparison.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/compare/figures.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {

struct CompareSettings {
  std::vector<std::string> files;
  std::string reference;
  std::string text_file;
  std::string prompt_file;  ///< empty: none
  std::string page;         ///< empty: none
  std::string plot;         ///< empty: none
  uint64_t window = 0;      ///< tokens; 0: as the models' contexts allow
  uint64_t max_tokens = 128;
  uint64_t max_windows = 0;  ///< 0: the whole text
  double max_kl = 0;         ///< 0: any
  bool gate = false;
  bool raw_prompts = false;
  bool json = false;
  int32_t kv_format = GRAFT_KV_AUTO;
  ThreadOptions threads;
  CacheOptions cache;
};

class OpenedModel {
 public:
  /// False after a failure, which has been printed.
  bool Open(const CompareSettings& settings, const std::string& file, bool is_reference);

  const std::string& file() const { return file_; }
  const graft_model* model() const { return model_.get(); }
  const graft_model_info& info() const { return info_; }
  uint64_t file_bytes() const { return file_bytes_; }

  /// A session with room for `context_tokens`; false after a failure, which has been printed.
  bool StartSession(const CompareSettings& settings, uint64_t context_tokens);

  /// The logits of each of `count` tokens from an empty context. They live until the next call.
  /// Returns   an exit code; a failure has been printed.
  int Forward(const int32_t* ids, size_t count, const float** logits, size_t* vocabulary);

  /// A prompt as the model is to see it: by its chat template where it has one, unless raw.
  bool MakePrompt(const CompareSettings& settings, const std::string& prompt, std::string* text,
                  std::vector<int32_t>* ids) const;
  /// What the model writes greedily.
  /// Returns   an exit code; a failure has been printed.
  int Write(const std::string& prompt, const std::vector<int32_t>& ids, uint64_t max_tokens,
            Answer* answer);

 private:
  std::string file_;
  ModelHandle model_;
  SessionHandle session_;
  graft_model_info info_ = {};
  uint64_t file_bytes_ = 0;
};

}  // namespace graft_run
