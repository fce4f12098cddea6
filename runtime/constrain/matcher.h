// SPDX-License-Identifier: Apache-2.0
// Matcher: follows one text through a constraint, and tells which tokens may go on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/recognizer.h"
#include "runtime/constrain/vocabulary.h"
#include "schema/result.h"

namespace graft::runtime {

/// One thread at a time.
class Matcher {
 public:
  /// `grammar` is finished. `vocabulary` must outlive this.
  Matcher(Grammar grammar, const Vocabulary& vocabulary);

  /// Back to the empty text. What was found out about the constraint is kept.
  void Restart();

  /// The tokens that may follow: those after which some text satisfies the constraint. End tokens
  /// are none of them. Valid until the next call.
  /// Errors   kOutOfRange: the constraint is so ambiguous that this would take too much memory.
  Result<const TokenMask*> Mask();
  /// Whether the text may end here.
  bool MayEnd() const { return recognizer_.IsAccepting(state_); }
  /// Whether a call has failed because the constraint is too ambiguous. Then all later ones do.
  bool overflowed() const { return recognizer_.overflowed(); }
  /// Whether the text must end here.
  bool MustEnd() { return MayEnd() && recognizer_.IsFinal(state_); }

  /// Goes on by a token, or by bytes. False, and nothing has changed, if the constraint does not
  /// allow it.
  bool AcceptToken(uint32_t id) { return AcceptText(vocabulary_.text(id)); }
  bool AcceptText(std::string_view text);
  /// How many of the bytes of `text` the constraint allows.
  size_t CountAllowed(std::string_view text);
  /// Whether the text can be whole with `tokens` more behind `text`, which the constraint allows.
  bool CanEnd(std::string_view text, size_t tokens);
  /// The tokens of the shortest end, the first last; none if the text may end here.
  std::vector<int32_t> PlanEnd() { return PlanFrom(state_); }
  /// The bytes that must follow, `most` at the most. *ends: nothing may follow them.
  std::string ForcedText(size_t most, bool* ends);

 private:
  /// What has been found out last: the tokens that may follow a state, or what may come of one
  /// expression, whatever waits behind it, which strings of one kind share.
  struct Found {
    enum class Kind : uint8_t { kNothing, kState, kExpression, kWideExpression };
    Kind kind = Kind::kNothing;
    uint32_t key = 0;  // the state, or the expression; a wide one stands for such with counts
    uint64_t used = 0;
    TokenMask mask;
    // Of expressions, whose mask has the tokens behind which they go on:
    bool is_usable = false;  // where it may end it has ended
    const TokenTree* tree = nullptr;
    FlatVector<uint32_t> ends;  // nodes of `tree` behind which it has ended
  };

  Found* Find(Found::Kind kind, uint32_t key, bool* is_new);
  std::vector<int32_t> PlanFrom(StateId state);
  void Fill(TokenMask* mask);
  bool FillAll(StateId state, TokenMask* mask, FlatVector<uint32_t>* ends, const TokenTree** tree);
  bool AddPiece(const Recognizer::Config& config, TokenMask* mask);
  const Found& FindPiece(Expression expression, bool is_wide);
  bool Walk(const TokenTree& tree, NumberPair range, StateId state, TokenMask* mask,
            FlatVector<uint32_t>* ends);
  bool WalkTree(const TokenTree& tree, StateId state, TokenMask* mask, FlatVector<uint32_t>* ends);

  const Vocabulary& vocabulary_;
  Recognizer recognizer_;
  StateId state_;
  static constexpr size_t kMaxFound = 24;
  Found found_[kMaxFound];
  uint64_t clock_ = 0;  // of looks at what was found
  uint32_t generation_ = 0;
  FlatVector<StateId> path_;  // of a walk
};

}  // namespace graft::runtime
