// SPDX-License-Identifier: Apache-2.0
// The shortest way to where a text may end: what a grammar's rules come to at least, and what waits
// on the stack.
#include <algorithm>

#include "runtime/constrain/recognizer.h"

namespace graft::runtime {
namespace {

using Kind = GrammarSymbol::Kind;

constexpr size_t kMaxPasses = 100;  // over the rules

}  // namespace

uint32_t Recognizer::SymbolLength(const GrammarSymbol& symbol, uint32_t count) {
  switch (symbol.kind) {
    case Kind::kExpression:
      return grammar_.pool().ShortestMatch(symbol.value);
    case Kind::kRule:
      return rule_lengths_[symbol.value];
    case Kind::kRepeat:
      return count >= symbol.min ? 0
                                 : MultiplyLength(rule_lengths_[symbol.value], symbol.min - count);
    case Kind::kMembers: {
      MemberSet none;
      const MemberList& list = grammar_.members(symbol.value);
      if (count <= 1) none.bits.assign(2 + (list.members.size() + 63) / 64, 0);
      return MembersLength(list, count > 1 ? sets_[(count >> 1) - 1] : none, (count & 1) != 0);
    }
    case Kind::kEnd:
    case Kind::kMemberEnd:
      break;
  }
  return 0;
}

/// From `position`, where its symbol has come `count` times, to the end of its way.
uint32_t Recognizer::WayLength(uint32_t position, uint32_t count) {
  uint32_t bytes = 0;
  for (; grammar_.symbol(position).kind != Kind::kEnd &&
         grammar_.symbol(position).kind != Kind::kMemberEnd;
       ++position) {
    bytes = AddLengths(bytes, SymbolLength(grammar_.symbol(position), count));
    count = 0;
  }
  return bytes;
}

/// A length that is found later never makes one that was found before too short: it is only less.
/// So those after some passes can be kept to, if they are not the least.
void Recognizer::FindRuleLengths() {
  const size_t count = grammar_.rule_count();
  rule_lengths_.assign(count, kUnbounded);
  bool has_changed = true;
  for (size_t pass = 0; has_changed && pass < kMaxPasses; ++pass) {
    has_changed = false;
    for (auto rule = static_cast<RuleId>(count); rule-- > 0;) {
      for (const uint32_t way : grammar_.ways(rule)) {
        const uint32_t length = WayLength(way);
        if (length >= rule_lengths_[rule]) continue;
        rule_lengths_[rule] = length;
        has_changed = true;
      }
    }
  }
}

/// What waits on `stack`, from the top to the bottom.
uint32_t Recognizer::StackLength(uint32_t stack) {
  stack_lengths_.resize(stacks_.size());
  FlatVector<uint32_t> path;
  uint32_t bytes = 0;
  // All below what is known is known.
  for (uint32_t at = stack; at != 0; at = stacks_[at].parent) {
    bytes = stack_lengths_[at];
    if (bytes != 0) break;
    path.push_back(at);
  }
  const auto known = [](uint32_t length) { return length - (length - 1 < kUnbounded - 1 ? 1 : 0); };
  bytes = known(bytes);
  for (size_t i = path.size(); i-- > 0;) {
    const Stack& top = stacks_[path[i]];
    uint32_t end = top.position;
    while (grammar_.symbol(end).kind != Kind::kEnd &&
           grammar_.symbol(end).kind != Kind::kMemberEnd) {
      ++end;
    }
    uint32_t below = bytes;
    if (grammar_.symbol(end).kind == Kind::kMemberEnd) {
      // What the object lacks when this member is there.
      const Stack& frame = stacks_[top.parent];
      below = LengthAfter(top.parent, grammar_.symbol(end).value);
      below = AddLengths(below, WayLength(frame.position + 1));
      below = AddLengths(below, known(stack_lengths_[frame.parent]));
    }
    bytes = AddLengths(WayLength(top.position, top.count), below);
    stack_lengths_[path[i]] = bytes == kUnbounded ? bytes : bytes + 1;
  }
  return bytes;
}

uint32_t Recognizer::ShortestEnd(StateId state) {
  if (IsAccepting(state)) return 0;
  if (rule_lengths_.empty()) FindRuleLengths();
  uint32_t least = kUnbounded;
  for (const Config& config : configs(state)) {
    const uint32_t length = grammar_.pool().ShortestMatch(config.expression);
    least = std::min(least, AddLengths(length, StackLength(config.stack)));
  }
  return least;
}

int Recognizer::ByteToEnd(StateId state) {
  const uint32_t length = ShortestEnd(state);
  if (length == 0 || length == kUnbounded) return -1;
  ByteSet bytes;
  for (const Config& config : configs(state)) bytes.Unite(pool().FirstBytes(config.expression));
  for (unsigned i = 0; i < 256; ++i) {
    const auto byte = static_cast<uint8_t>('a' + i);  // letters first: they read best
    if (!bytes.Has(byte)) continue;
    ByteSet same;
    same.words.fill(UINT64_MAX);
    for (const Config& config : configs(state)) {
      same.Intersect(pool().SameBytes(config.expression, byte));
    }
    for (size_t word = 0; word < 4; ++word) bytes.words[word] &= ~same.words[word];
    const StateId next = Next(state, byte);
    if (next != kDeadState && ShortestEnd(next) < length) return byte;
  }
  return -1;
}

}  // namespace graft::runtime
