// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/generation/draft_options.h"

namespace graft_run {

void DraftOptions::AddTo(Options* options) {
  options->Flag("speculate", &from_text_);
  options->String("draft", 0, &file_, nullptr);
}

bool DraftOptions::Open(const ThreadOptions& threads, const CacheOptions& cache, uint64_t context) {
  if (file_.empty()) return true;
  model_ = OpenModel(file_, threads, cache.WithoutPack());
  if (model_ == nullptr) return false;
  session_ = OpenSession(file_, model_.get(), threads, context);
  return session_ != nullptr;
}

void DraftOptions::SetIn(graft_generate_options* options) const {
  options->speculate = from_text_ ? 1 : 0;
  options->draft_session = session_.get();
}

}  // namespace graft_run
