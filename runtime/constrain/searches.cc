// SPDX-License-Identifier: Apache-2.0
// What only a search among derivatives tells where parts of an expression hold at once: whether any
// text matches, and how short one can be. There may be exponentially many. So a search for a match
// that does not end soon is made again with alternatives looked at one by one: those of "A and not
// B" are then no more than places in A times derivatives of B.
#include <algorithm>
#include <utility>

#include "runtime/constrain/expressions.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxForShortest = 3000;  // derivatives that a search for the shortest looks at
constexpr size_t kMaxFailed = 8;          // of those that find nothing, before there are no more
constexpr size_t kMaxWhole = 1000;        // derivatives that a search looks at as they are
constexpr size_t kMaxSearched = 50000;    // with alternatives one by one
constexpr uint64_t kStepsToSearch = 400000;
constexpr size_t kMaxWays = 1000;  // alternatives of an intersection
constexpr size_t kMaxKept = 5000;  // expressions that a search that found no text leaves
constexpr uint32_t kNoFrame = UINT32_MAX;

/// The quote, or the first there is behind it: where a string may end it is alive.
uint8_t FirstToTry(const ByteSet& bytes) {
  auto byte = static_cast<uint8_t>('"');
  while (!bytes.Has(byte)) ++byte;
  return byte;
}

}  // namespace

/// Adds alternatives that `e` consists of.
void ExpressionPool::TakeApart(Expression e, FlatVector<Expression>* ways) {
  const Node node = nodes_[e];
  Spend(1);
  FlatVector<Expression> inner;
  if (node.kind == Kind::kOr) {
    for (uint32_t i = 0; i < node.b; ++i) TakeApart(lists_[node.a + i], ways);
  } else if (node.kind == Kind::kConcat && !nodes_[node.a].is_finite) {
    // What is finite is most often the ways to write a character.
    TakeApart(node.a, &inner);
    for (const Expression way : inner) ways->push_back(Concat(way, node.b));
  } else if (node.kind == Kind::kNot && nodes_[node.a].kind == Kind::kAnd) {
    const Node all = nodes_[node.a];
    for (uint32_t i = 0; i < all.b; ++i) ways->push_back(Not(lists_[all.a + i]));
  } else if (node.kind == Kind::kAnd) {
    FlatVector<Expression> wholes = {Not(kNothing)};
    for (uint32_t i = 0; i < node.b; ++i) {
      const Expression part = lists_[node.a + i];
      inner.clear();
      TakeApart(part, &inner);
      if (inner.size() * wholes.size() > kMaxWays) inner = {part};
      Spend(inner.size() * wholes.size());
      const FlatVector<Expression> before = std::move(wholes);
      wholes = {};
      for (const Expression whole : before) {
        for (const Expression way : inner) wholes.push_back(And(whole, way));
      }
    }
    ways->Append(wholes);
  } else {
    ways->push_back(e);
  }
}

/// An expression that is alive just if `e` is: without what stands before or behind it and is alive.
Expression ExpressionPool::Core(Expression e) const {
  for (;;) {
    const Node& node = nodes_[e];
    if (node.kind == Kind::kRepeat && !node.is_nullable) {
      e = node.a;
    } else if (node.kind == Kind::kConcat && !nodes_[node.b].needs_search) {
      e = node.a;
    } else if (node.kind == Kind::kConcat && !nodes_[node.a].needs_search) {
      e = node.b;
    } else {
      return e;
    }
  }
}

ExpressionPool::Life ExpressionPool::KnownLife(Expression core) {
  if (core == kNothing) return Life::kDead;
  if (!nodes_[core].needs_search || nodes_[core].is_nullable) return Life::kAlive;
  if (lives_.size() <= core) lives_.resize(nodes_.size());
  return lives_[core];
}

/// kUnknown: it takes more than `most` derivatives to tell, or more steps than there are.
ExpressionPool::Life ExpressionPool::SearchForLife(Expression core, bool takes_apart, size_t most) {
  struct Frame {
    Expression core;
    uint32_t from;
    ByteSet bytes;  // not tried yet
  };
  FlatVector<Frame> frames;
  FlatVector<uint64_t> open;  // a heap: what can end soonest comes first, then what is newest
  FlatVector<Expression> ways = {core};
  uint32_t at = kNoFrame;
  uint32_t oldest = 0;
  bool is_turn = false;
  Life life = Life::kUnknown;
  for (size_t steps = 0;;) {
    for (const Expression way : ways) {
      const Expression next = Core(way);
      const Life known = KnownLife(next);
      if (known == Life::kAlive) life = known;
      if (known != Life::kUnknown) continue;
      lives_[next] = Life::kSeen;
      open.push_back(uint64_t{~LengthOf(next, false)} << 32 | frames.size());
      std::push_heap(open.begin(), open.end());
      frames.push_back({next, at, FirstBytes(next)});
    }
    while (!open.empty() && frames[static_cast<uint32_t>(open[0])].bytes.IsEmpty()) {
      std::pop_heap(open.begin(), open.end());
      open.pop_back();
    }
    if (open.empty() && life == Life::kUnknown) life = Life::kDead;
    if (overflowed_) life = Life::kUnknown;
    if (life != Life::kUnknown || steps >= most || overflowed_) break;
    // Every other time the oldest, or a search that goes astray would never turn.
    while (frames[oldest].bytes.IsEmpty()) ++oldest;
    at = std::exchange(is_turn, !is_turn) ? oldest : static_cast<uint32_t>(open[0]);
    Frame& frame = frames[at];
    const uint8_t byte = FirstToTry(frame.bytes);
    const ByteSet same = SameBytes(frame.core, byte);
    for (size_t word = 0; word < 4; ++word) frame.bytes.words[word] &= ~same.words[word];
    const Expression next = Derive(frame.core, byte);
    Spend(std::exchange(looked_at_, 0) / 8);
    ways.clear();
    if (takes_apart) {
      TakeApart(next, &ways);
    } else {
      ways.push_back(next);
    }
    steps += 1 + ways.size();
  }
  // All that was seen is dead if nothing was found; else what leads to it is alive, and of the rest
  // nothing is known.
  for (const Frame& frame : frames) {
    lives_[frame.core] = life == Life::kDead ? life : Life::kUnknown;
  }
  for (; life == Life::kAlive && at != kNoFrame; at = frames[at].from) {
    lives_[frames[at].core] = life;
  }
  return life;
}

/// Takes away what was added since there were so many.
void ExpressionPool::Forget(size_t nodes, size_t lists) {
  nodes_.resize(nodes);
  lists_.resize(lists);
  if (lives_.size() > nodes) lives_.resize(nodes);
  if (lengths_.size() > nodes) lengths_.resize(nodes);
  memo_.assign(1024, Memo());
  memo_count_ = 0;
  Rehash(table_.size());
}

bool ExpressionPool::IsAlive(Expression e) {
  if (e == kNothing || overflowed_ || !nodes_[e].needs_search) return e != kNothing;
  const Expression core = Core(e);
  Life life = KnownLife(core);
  if (life != Life::kUnknown || search_steps_left_ == 0) return life != Life::kDead;
  const size_t nodes = nodes_.size();
  const size_t lists = lists_.size();
  // The more searches did not end, the less another may take.
  const uint64_t most = kStepsToSearch >> std::min(undecided_, size_t{5});
  const uint64_t steps = std::exchange(steps_left_, std::min(search_steps_left_, most));
  const uint64_t allowed = steps_left_;
  looked_at_ = 0;
  life = SearchForLife(core, false, kMaxWhole);
  if (life == Life::kUnknown && !overflowed_) life = SearchForLife(core, true, kMaxSearched);
  search_steps_left_ -= allowed - steps_left_;
  steps_left_ = steps;
  if (life == Life::kUnknown) ++undecided_;
  lives_[core] = life == Life::kDead ? life : Life::kAlive;
  if (overflowed_ || (life != Life::kAlive && nodes_.size() > nodes + kMaxKept)) {
    Forget(nodes, lists);
  }
  overflowed_ = false;
  return life != Life::kDead;
}

/// A bound for intersections and what else only a search tells; for all others the length itself,
/// once that of their parts is known. kUnbounded: nothing matches, or a search found nothing.
uint32_t ExpressionPool::LengthOf(Expression e, bool may_search) {
  FlatVector<Length>& lengths = lengths_;
  if (lengths.size() <= e) lengths.resize(nodes_.size());
  const Length known = lengths[e];
  if (known.is_exact || (known.is_bound && !may_search)) return known.bytes;
  const Node node = nodes_[e];
  if (node.is_nullable) return 0;
  uint32_t bytes = kUnbounded;
  const auto part = [&](Expression inner) { return LengthOf(inner, may_search); };
  switch (node.kind) {
    case Kind::kNothing:
    case Kind::kEmpty:
      break;
    case Kind::kBytes:
      bytes = 1;
      break;
    case Kind::kOr:
      for (size_t i = 0; i < node.b; ++i) bytes = std::min(bytes, part(lists_[node.a + i]));
      break;
    case Kind::kRepeat:
      bytes = MultiplyLength(part(node.a), node.b);
      break;
    case Kind::kConcat:
      return LengthOfRow(e, may_search);
    case Kind::kAnd:
    case Kind::kNot:
    case Kind::kCompare:
    case Kind::kMultiple:
      if (may_search) return Search(e);
      bytes = 1;
      for (size_t i = 0; node.kind == Kind::kAnd && i < node.b; ++i) {
        bytes = std::max(bytes, LengthOf(lists_[node.a + i], false));
      }
  }
  lengths_[e] = {bytes, may_search, true};
  return bytes;
}

/// A literal is a row of concatenations, too long for calls within calls.
uint32_t ExpressionPool::LengthOfRow(Expression e, bool may_search) {
  FlatVector<Expression> row;
  for (; nodes_[e].kind == Kind::kConcat; e = nodes_[e].b) {
    const Length known = lengths_[e];
    if (known.is_exact || (known.is_bound && !may_search)) break;
    row.push_back(e);
  }
  uint32_t bytes = LengthOf(e, may_search);
  for (size_t i = row.size(); i-- > 0;) {
    bytes = AddLengths(LengthOf(nodes_[row[i]].a, may_search), bytes);
    lengths_[row[i]] = {bytes, may_search, true};
  }
  return bytes;
}

/// What a byte leads to is looked at in the order of how short the whole can be at best.
uint32_t ExpressionPool::Search(Expression e) {
  if (failed_searches_ >= kMaxFailed) return kUnbounded;
  struct Step {
    Expression expression;
    uint32_t from;
    uint32_t depth;
    uint32_t least;
  };
  FlatVector<Step> steps = {{e, 0, 0, LengthOf(e, false)}};
  FlatVector<uint32_t> open = {0};
  FlatVector<uint32_t> later;
  FlatVector<Expression> seen;  // sorted
  uint32_t least = steps[0].least;
  while (seen.size() < kMaxForShortest && !(open.empty() && later.empty())) {
    if (open.empty()) {
      least = kUnbounded;
      for (const uint32_t i : later) least = std::min(least, steps[i].least);
      EraseIf(&later, [&](uint32_t i) {
        if (steps[i].least == least) open.push_back(i);
        return steps[i].least == least;
      });
    }
    const uint32_t at = open.back();
    open.pop_back();
    const Step step = steps[at];
    auto* const place = std::lower_bound(seen.begin(), seen.end(), step.expression);
    if (place != seen.end() && *place == step.expression) continue;
    seen.Insert(static_cast<size_t>(place - seen.begin()), step.expression);
    if (nodes_[step.expression].is_nullable || lengths_[step.expression].is_exact) {
      // Bounds of what is exact are lengths.
      for (uint32_t i = at;; i = steps[i].from) {
        lengths_[steps[i].expression] = {step.least - steps[i].depth, true, true};
        if (i == 0) return step.least;
      }
    }
    ByteSet bytes = FirstBytes(step.expression);
    for (unsigned byte = 0; byte < 256; ++byte) {
      if (!bytes.Has(static_cast<uint8_t>(byte))) continue;
      const ByteSet same = SameBytes(step.expression, static_cast<uint8_t>(byte));
      for (size_t word = 0; word < 4; ++word) bytes.words[word] &= ~same.words[word];
      const Expression next = Derive(step.expression, static_cast<uint8_t>(byte));
      const uint32_t rest = LengthOf(next, false);
      if (rest == kUnbounded) continue;
      const uint32_t whole = std::max(step.least, AddLengths(step.depth + 1, rest));
      (whole == least ? open : later).push_back(static_cast<uint32_t>(steps.size()));
      steps.push_back({next, at, step.depth + 1, whole});
    }
  }
  ++failed_searches_;
  lengths_[e] = {kUnbounded, true, true};
  return kUnbounded;
}

}  // namespace graft::runtime
