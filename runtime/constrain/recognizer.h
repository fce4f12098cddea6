// SPDX-License-Identifier: Apache-2.0
// Recognizer: reads bytes by a grammar. A state is the set of all ways to have come so far; states,
// what follows them by each byte, and the stacks within them are made when they are first met, and
// shared.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/constrain/grammar.h"

namespace graft::runtime {

/// An index into the Recognizer's states; kDeadState: no text that goes on matches.
using StateId = uint32_t;
inline constexpr StateId kDeadState = 0;

class Recognizer {
 public:
  /// Takes a finished grammar.
  explicit Recognizer(Grammar grammar);

  StateId start() const { return start_; }
  /// The state after `byte`. Memoized.
  StateId Next(StateId state, uint8_t byte) {
    const StateId known = Known(state, byte);
    return known != kUnknown ? known : NextSlow(state, byte);
  }
  /// As Next, where that is known already; else kUnknown.
  StateId Known(StateId state, uint8_t byte) const {
    return rows_[size_t{states_[state].row} * 256 + byte];
  }
  static constexpr StateId kUnknown = UINT32_MAX;
  /// Whether the text may end here.
  bool IsAccepting(StateId state) const { return states_[state].is_accepting; }
  /// The one byte that can follow, if the text may not end here and there is only one; else -1.
  int ForcedByte(StateId state);
  /// Whether nothing may follow.
  bool IsFinal(StateId state);

  /// The bytes of the shortest text that may follow, up to where the text may end; kUnbounded: none
  /// is known. Memoized.
  uint32_t ShortestEnd(StateId state);
  /// The first byte of that text; -1: it is empty, or not known.
  int ByteToEnd(StateId state);

  struct Config {
    Expression expression;
    uint32_t stack;
    auto operator<=>(const Config&) const = default;
  };
  std::span<const Config> configs(StateId state) const {
    return {configs_.data() + states_[state].begin, states_[state].count};
  }
  /// The state of these ways alone.
  StateId StateOf(std::span<const Config> configs);
  /// The state behind an expression that has ended, where `stack` waits.
  StateId Behind(uint32_t stack);
  const ExpressionPool& pool() const { return grammar_.pool(); }
  ExpressionPool& pool() { return grammar_.pool(); }

  /// True once a state had too many ways to have been reached, or too many states were needed at
  /// once: what Next says since then is not to be relied upon.
  bool overflowed() const { return overflowed_ || grammar_.pool().overflowed(); }
  /// As ExpressionPool::Allow; states and what they are made of count too.
  void Allow(uint64_t steps) { grammar_.pool().Allow(steps); }
  /// Forgets states if there are many, but for `state`, and returns its new number. `generation`
  /// changes then.
  StateId Trim(StateId state);
  uint32_t generation() const { return generation_; }

 private:
  static constexpr uint32_t kNoRow = 0;  // a row in which nothing is known

  struct State {
    uint32_t begin = 0;
    uint32_t count = 0;
    uint32_t row = kNoRow;
    uint16_t computed = 0;
    bool is_accepting = false;
  };
  struct Stack {
    uint32_t parent;
    uint32_t position;
    uint32_t count;
    bool operator==(const Stack&) const = default;
  };
  struct Edge {
    uint64_t key = UINT64_MAX;
    StateId target = 0;
  };
  struct Place {
    uint32_t position;
    uint32_t count;
    uint32_t stack;
  };

  /// The members that an object has so far.
  struct MemberSet {
    FlatVector<uint64_t> bits;  // led by the list's index and the count of others
    uint32_t total = 0;
    uint32_t required = 0;
    uint32_t next = 0;  // behind the last of those that there are
    bool Has(uint32_t member) const { return (bits[2 + member / 64] >> (member % 64) & 1) != 0; }
    uint64_t others() const { return bits[1]; }
    /// Members that certainly have different names.
    uint32_t different() const {
      return total - static_cast<uint32_t>(others() > 1 ? others() - 1 : 0);
    }
  };

  std::array<int, 2> FirstFollowing(StateId state);
  void Reset();
  const MemberSet& SetOf(uint32_t id) const { return sets_[id]; }
  uint32_t InternSet(MemberSet set);
  template <typename Enter>
  static void ForEachNext(const MemberList& list, const MemberSet& set, Enter enter);
  StateId NextSlow(StateId state, uint8_t byte);
  StateId Compute(StateId state, uint8_t byte);
  void Close();
  bool IsNew(const Place& place);
  void Follow(const Place& place);
  void FollowMembers(const Place& place);
  void EndMember(const Place& place);
  void EnterRule(RuleId rule, uint32_t stack);
  uint32_t Push(uint32_t parent, uint32_t position, uint32_t count);
  StateId InternState();
  void AddRow(StateId state);
  Edge* FindEdge(uint64_t key);
  void FindRuleLengths();
  uint32_t SymbolLength(const GrammarSymbol& symbol, uint32_t count);
  uint32_t WayLength(uint32_t position, uint32_t count = 0);
  uint32_t MembersLength(const MemberList& list, const MemberSet& set, bool has_comma);
  uint32_t LengthAfter(uint32_t frame, uint32_t member);
  MemberSet SetWith(const Stack& frame, uint32_t member) const;
  uint32_t StackLength(uint32_t stack);

  Grammar grammar_;
  FlatVector<State> states_;
  FlatVector<Config> configs_;
  FlatVector<uint32_t> state_table_;
  FlatVector<StateId> rows_;
  FlatVector<Edge> edges_;
  size_t edge_count_ = 0;
  FlatVector<Stack> stacks_;
  FlatVector<uint32_t> stack_table_;
  FlatVector<uint32_t> stack_lengths_;  // by stack, 1 more than what is known, 0: nothing is
  FlatVector<uint32_t> rule_lengths_;   // empty: not asked for yet
  struct {
    uint32_t frame = 0;  // on the stack; 0: none
    uint32_t count = 0;
    uint32_t bytes = 0;
  } missing_;  // members that an object must still have
  std::vector<MemberSet> sets_;
  TextNumbers set_ids_;
  StateId start_ = kDeadState;
  uint32_t generation_ = 0;
  bool overflowed_ = false;

  // Of the state that is being made.
  FlatVector<Config> made_;
  FlatVector<Place> work_;
  FlatVector<Place> seen_;
  FlatVector<uint32_t> seen_table_;
  bool accepts_ = false;
};

}  // namespace graft::runtime
