// SPDX-License-Identifier: Apache-2.0
// DraftPace: how many tokens are worth drafting, by what passes took so far.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace graft::runtime {

/// Most tokens of a draft, in all that drafts.
inline constexpr size_t kMostDrafted = 15;

/// Compares with plain decoding, whose time for a token is measured in passes without a draft. Drafts
/// may cost the time of one such token and one percent of the time that passes; what they save may
/// be lost again up to a few tokens.
class DraftPace {
 public:
  DraftPace();
  /// How many tokens to draft next, at most `most`; 0: none.
  size_t Choose(size_t most) const;
  /// Says what a pass took that computed a draft of `drafted` tokens, of which `accepted` were
  /// right. `redone` tokens that were chosen before had to be computed with it again.
  void Add(size_t drafted, size_t accepted, size_t redone, uint64_t pass_ns);

 private:
  /// What passes of one kind took lately: the least, for others may take the processors meanwhile.
  class Times {
   public:
    void Add(double ns) { ns_[count_++ % ns_.size()] = ns; }
    bool is_known() const { return count_ > 0; }
    bool is_certain() const { return count_ > 2; }
    double least() const;

   private:
    std::array<double, 4> ns_{};
    size_t count_ = 0;
  };

  double PassNs(size_t drafted) const;
  double TokensOf(size_t drafted) const;

  Times plain_;   // without a draft
  Times behind_;  // likewise, after one: they make ready for another number of rows
  std::array<Times, kMostDrafted + 1> drafts_;  // by tokens drafted
  double right_;                                // of tokens drafted
  double balance_ns_ = 0;
  size_t plain_passes_ = 0;
  size_t since_plain_ = 0;
  bool last_drafted_ = false;
};

}  // namespace graft::runtime
