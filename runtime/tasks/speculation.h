// SPDX-License-Identifier: Apache-2.0
// Speculation: computes the tokens that were chosen, and with them a draft of those that may come.
// A pass of some rows takes little longer than a pass of one, and a row's logits are the same bits
// in either. So a draft that is right saves passes, and one that is wrong changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/draft/draft_pace.h"
#include "runtime/session/session.h"
#include "runtime/tasks/constrained_text.h"
#include "runtime/tasks/sampler.h"
#include "schema/status.h"

namespace graft::runtime {

struct DraftOptions {
  bool always = false;       ///< whether it pays or not
  bool from_text = false;    ///< what followed the last tokens where they stood before
  Session* model = nullptr;  ///< else what another model says, which has the same tokens
};

/// The passes of one generation behind the prompt. One thread at a time.
class Speculation {
 public:
  /// All must outlive this.
  Speculation(Session& session, const DraftOptions& options, const SamplingOptions& sampling)
      : session_(session), options_(options), sampler_(sampling) {}
  ~Speculation();
  Speculation(const Speculation&) = delete;
  Speculation& operator=(const Speculation&) = delete;

  /// Says that the session holds the prompt. Gives it to the draft's model.
  /// Errors   those of Session::Append, of the draft's model.
  Status Begin();

  /// What a draft may be: as long as `most`, and as `constraint` allows it if that is not null.
  /// `sampler`: what will choose. A draft's model is asked with the same random numbers, so that it
  /// says the same where it thinks the same.
  struct Limits {
    size_t most = 0;
    const ConstrainedText* constraint = nullptr;
    const Sampler& sampler;
  };
  /// Goes on by tokens that were chosen, at least one. *logits receives those of the last, from a
  /// row that is there already or from a pass.
  /// Errors   those of Session::Append.
  Status Advance(std::span<const int32_t> chosen, const Limits& limits, const float** logits);

  /// Ends with `chosen` tokens: all but the last are held then, and nothing of a draft.
  /// Errors   those of Session::Append.
  Status End(std::span<const int32_t> chosen);

  size_t end() const { return end_; }            ///< tokens held, but for a draft's
  size_t drafted() const { return drafted_; }    ///< tokens, of all drafts
  size_t accepted() const { return accepted_; }  ///< of them, that were right

 private:
  size_t Foreseen(std::span<const int32_t> chosen) const;
  Status Compute(std::span<const int32_t> chosen, const Limits& limits, const float** logits);
  Status MakeDraft(size_t most, const Limits& limits);
  Status AskModel(size_t most, const Sampler& sampler);
  Status CatchUp(std::span<const int32_t> tokens, const float** logits);
  void LeavePass(size_t accepted);

  Session& session_;
  const DraftOptions options_;
  Sampler sampler_;  // of the draft's model
  DraftPace pace_;
  // Of the last pass: the position before it, the tokens that had been chosen, the draft behind
  // them, how far that turned out right, and the position up to there.
  size_t begin_ = 0;
  size_t end_ = SIZE_MAX;
  std::vector<int32_t> pass_;
  std::vector<int32_t> draft_;
  size_t row_ = 0;
  const float* rows_ = nullptr;
  std::vector<int32_t> tokens_;  // held, and those chosen: what a draft continues
  size_t redone_ = 0;            // of pass_, that an earlier pass had accepted
  uint64_t pass_ns_ = 0;
  bool may_draft_ = true;
  size_t drafted_ = 0;
  size_t accepted_ = 0;
};

}  // namespace graft::runtime
