// SPDX-License-Identifier: Apache-2.0
// How short a match can be: by what an expression is made of, or by a search where parts of it hold
// at once.
#include <algorithm>

#include "runtime/constrain/expressions.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxSearched = 3000;  // derivatives that a search looks at
constexpr size_t kMaxFailed = 8;       // searches that may find nothing, before there are no more

}  // namespace

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
  while (seen.size() < kMaxSearched && !(open.empty() && later.empty())) {
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
