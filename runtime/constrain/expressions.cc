// SPDX-License-Identifier: Apache-2.0
// Building expressions: the rules that keep equal ones equal and small ones small.
#include "runtime/constrain/expressions.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace graft::runtime {
namespace {

constexpr size_t kMaxNodes = 600000;
constexpr size_t kMaxListed = 20000;  // alternatives of one expression

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

int ComparePairs(const void* a, const void* b) {
  std::array<uint32_t, 2> pairs[2];
  std::memcpy(&pairs[0], a, sizeof pairs[0]);
  std::memcpy(&pairs[1], b, sizeof pairs[1]);
  return pairs[0] < pairs[1] ? -1 : pairs[1] < pairs[0] ? 1 : 0;
}

}  // namespace

void SortPairs(void* pairs, size_t count) {
  if (count > 1) std::qsort(pairs, count, 2 * sizeof(uint32_t), ComparePairs);
}

void SortNumbers(FlatVector<uint32_t>* numbers) { std::sort(numbers->begin(), numbers->end()); }

void SortUnique(FlatVector<uint32_t>* numbers) {
  SortNumbers(numbers);
  numbers->resize(
      static_cast<size_t>(std::unique(numbers->begin(), numbers->end()) - numbers->begin()));
}

ExpressionPool::ExpressionPool() {
  Rehash(1024);
  memo_.assign(1024, Memo());
  Node nothing;
  nothing.alphabets = 3;
  Intern(nothing);
  Node empty;
  empty.kind = Kind::kEmpty;
  empty.is_nullable = true;
  empty.alphabets = 3;
  Intern(empty);
}

uint64_t ExpressionPool::HashOf(const Node& node) const {
  uint64_t hash = Mix(0, static_cast<uint64_t>(node.kind));
  if (node.kind == Kind::kOr || node.kind == Kind::kAnd) {
    for (const Expression part : List(node)) hash = Mix(hash, part);
    return hash;
  }
  return Mix(Mix(hash, uint64_t{node.a} << 32 | node.b), node.c);
}

bool ExpressionPool::IsSame(const Node& a, const Node& b) const {
  if (a.kind != b.kind) return false;
  if (a.kind == Kind::kOr || a.kind == Kind::kAnd) {
    return std::ranges::equal(List(a), List(b));
  }
  return a.a == b.a && a.b == b.b && a.c == b.c;
}

void ExpressionPool::Rehash(size_t slots) {
  table_.assign(slots, 0);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    size_t slot = HashOf(nodes_[i]) & (slots - 1);
    while (table_[slot] != 0) slot = (slot + 1) & (slots - 1);
    table_[slot] = static_cast<uint32_t>(i + 1);
  }
}

Expression ExpressionPool::Intern(Node node) {
  if ((nodes_.size() + 1) * 2 > table_.size()) Rehash(table_.size() * 2);
  size_t slot = HashOf(node) & (table_.size() - 1);
  while (table_[slot] != 0) {
    if (IsSame(nodes_[table_[slot] - 1], node)) return table_[slot] - 1;
    slot = (slot + 1) & (table_.size() - 1);
  }
  if (nodes_.size() >= kMaxNodes) {
    overflowed_ = true;
    return kNothing;
  }
  nodes_.push_back(node);
  table_[slot] = static_cast<uint32_t>(nodes_.size());
  return static_cast<Expression>(nodes_.size() - 1);
}

Expression ExpressionPool::InternList(Kind kind, FlatVector<Expression>* parts) {
  if (parts->size() > kMaxListed) {
    overflowed_ = true;
    return kNothing;
  }
  Node node;
  node.kind = kind;
  node.a = static_cast<uint32_t>(lists_.size());
  node.b = static_cast<uint32_t>(parts->size());
  node.is_nullable = kind == Kind::kAnd;
  node.needs_search = true;
  node.is_finite = kind == Kind::kOr;
  node.alphabets = kind == Kind::kOr ? 3 : 0;
  for (const Expression part : *parts) {
    const Node& child = nodes_[part];
    if (kind == Kind::kOr) {
      node.is_nullable = node.is_nullable || child.is_nullable;
      node.is_finite = node.is_finite && child.is_finite;
      node.needs_search = node.needs_search && child.needs_search;
      node.alphabets &= child.alphabets;
    } else {
      node.is_nullable = node.is_nullable && child.is_nullable;
      node.is_finite = node.is_finite || child.is_finite;
      node.alphabets |= child.alphabets;
    }
  }
  lists_.Append(*parts);
  const size_t before = nodes_.size();
  const Expression result = Intern(node);
  if (nodes_.size() == before) lists_.resize(node.a);  // it was there
  return result;
}

Expression ExpressionPool::Bytes(const ByteSet& set) {
  if (set.IsEmpty()) return kNothing;
  size_t index = 0;
  const size_t recent = sets_.size() > 256 ? sets_.size() - 256 : 0;
  for (index = sets_.size(); index > recent; --index) {
    if (sets_[index - 1] == set) break;
  }
  if (index == recent) {
    sets_.push_back(set);
    index = sets_.size();
  }
  Node node;
  node.kind = Kind::kBytes;
  node.a = static_cast<uint32_t>(index - 1);
  // ASCII is characters: of texts, and but for what is escaped of JSON's strings.
  if ((set.words[2] | set.words[3]) == 0) {
    const bool is_plain = (set.words[0] & 0x4FFFFFFFF) == 0 && (set.words[1] >> 28 & 1) == 0;
    node.alphabets = is_plain ? 3 : 1;
  }
  return Intern(node);
}

void ExpressionPool::NoteCharacter(Expression character, unsigned alphabet) {
  const Node node = nodes_[character];
  nodes_[character].alphabets |= static_cast<uint8_t>(1U << alphabet);
  for (uint32_t i = 0; node.kind == Kind::kOr && i < node.b; ++i) {
    NoteCharacter(lists_[node.a + i], alphabet);
  }
}

Expression ExpressionPool::Literal(std::string_view text) {
  Expression result = kEmpty;
  for (size_t i = text.size(); i-- > 0;) {
    ByteSet set;
    set.Add(static_cast<uint8_t>(text[i]));
    result = Concat(Bytes(set), result);
  }
  return result;
}

Expression ExpressionPool::Concat(Expression first, Expression second) {
  if (first == kNothing || second == kNothing) return kNothing;
  if (first == kEmpty) return second;
  if (second == kEmpty) return first;
  FlatVector<Expression> heads;  // concatenations lean to the right
  while (nodes_[first].kind == Kind::kConcat) {
    heads.push_back(nodes_[first].a);
    first = nodes_[first].b;
  }
  heads.push_back(first);
  for (size_t i = heads.size(); i-- > 0;) {
    Node node;
    node.kind = Kind::kConcat;
    node.a = heads[i];
    node.b = second;
    node.is_nullable = nodes_[heads[i]].is_nullable && nodes_[second].is_nullable;
    node.needs_search = nodes_[heads[i]].needs_search || nodes_[second].needs_search;
    node.is_finite = nodes_[heads[i]].is_finite && nodes_[second].is_finite;
    node.alphabets = nodes_[heads[i]].alphabets & nodes_[second].alphabets;
    second = Intern(node);
    if (second == kNothing) return kNothing;
  }
  return second;
}

Expression ExpressionPool::Concat(std::span<const Expression> parts) {
  Expression result = kEmpty;
  for (size_t i = parts.size(); i-- > 0;) result = Concat(parts[i], result);
  return result;
}

Expression ExpressionPool::Or(std::span<const Expression> parts) {
  FlatVector<Expression> flat;
  ByteSet bytes;
  for (const Expression part : parts) {
    const Node node = nodes_[part];
    if (node.kind == Kind::kNothing) continue;
    if (node.kind == Kind::kOr) {
      for (const Expression inner : List(node)) {
        if (nodes_[inner].kind == Kind::kBytes) {
          bytes.Unite(sets_[nodes_[inner].a]);
        } else {
          flat.push_back(inner);
        }
      }
    } else if (node.kind == Kind::kBytes) {
      bytes.Unite(sets_[node.a]);
    } else if (node.kind == Kind::kNot && node.a == kNothing) {
      return part;
    } else {
      flat.push_back(part);
    }
  }
  if (!bytes.IsEmpty()) flat.push_back(Bytes(bytes));
  SortUnique(&flat);
  for (unsigned k = 0; k < 2; ++k) {
    if (!std::binary_search(flat.begin(), flat.end(), all_[k])) continue;
    EraseIf(&flat,
            [&](Expression e) { return e != all_[k] && (nodes_[e].alphabets >> k & 1) != 0; });
  }
  if (flat.size() == 2 && flat[0] == kEmpty && nodes_[flat[1]].is_nullable) return flat[1];
  if (flat.empty()) return kNothing;
  return flat.size() == 1 ? flat[0] : InternList(Kind::kOr, &flat);
}

Expression ExpressionPool::And(std::span<const Expression> parts) {
  FlatVector<Expression> flat;
  bool has_bytes = false;
  ByteSet bytes;
  const auto add = [&](Expression part) {
    if (nodes_[part].kind != Kind::kBytes) {
      flat.push_back(part);
    } else if (std::exchange(has_bytes, true)) {
      bytes.Intersect(sets_[nodes_[part].a]);
    } else {
      bytes = sets_[nodes_[part].a];
    }
  };
  for (const Expression part : parts) {
    const Node node = nodes_[part];
    if (node.kind == Kind::kNothing) return kNothing;
    if (node.kind == Kind::kNot && node.a == kNothing) continue;
    if (node.kind == Kind::kAnd) {
      for (const Expression inner : List(node)) add(inner);
    } else {
      add(part);
    }
  }
  if (has_bytes) {
    if (bytes.IsEmpty()) return kNothing;
    flat.push_back(Bytes(bytes));
  }
  SortUnique(&flat);
  unsigned alphabets = 0;
  for (const Expression part : flat) alphabets |= nodes_[part].alphabets;
  if (flat.empty()) return Not(kNothing);
  if (flat.size() == 1) return flat[0];
  for (const Expression part : flat) {
    if (part == kEmpty) {
      const bool all = std::ranges::all_of(flat, [&](Expression e) { return IsNullable(e); });
      return all ? kEmpty : kNothing;
    }
    const Node& node = nodes_[part];
    if (node.kind != Kind::kNot) continue;
    if (std::binary_search(flat.begin(), flat.end(), node.a)) return kNothing;
    for (unsigned k = 0; k < 2; ++k) {
      if (node.a == all_[k] && (alphabets >> k & 1) != 0) return kNothing;
    }
  }
  return InternList(Kind::kAnd, &flat);
}

Expression ExpressionPool::Not(Expression a) {
  if (nodes_[a].kind == Kind::kNot) return nodes_[a].a;
  Node node;
  node.kind = Kind::kNot;
  node.a = a;
  node.is_nullable = !nodes_[a].is_nullable;
  node.needs_search = a != kNothing && !nodes_[a].is_finite;
  node.is_finite = false;
  return Intern(node);
}

Expression ExpressionPool::Repeat(Expression body, uint32_t min, uint32_t max) {
  if (max == 0 || body == kEmpty) return kEmpty;
  if (body == kNothing) return min == 0 ? kEmpty : kNothing;
  if (min == 1 && max == 1) return body;
  const Node inner = nodes_[body];
  if (inner.is_nullable) min = 0;
  if (inner.kind == Kind::kRepeat && inner.b == 0 && inner.c == kUnbounded) return body;
  Node node;
  node.kind = Kind::kRepeat;
  node.a = body;
  node.b = min;
  node.c = max;
  node.is_nullable = min == 0;
  node.needs_search = min > 0 && inner.needs_search;
  node.is_finite = inner.is_finite && max != kUnbounded;
  node.alphabets = inner.alphabets;
  return Intern(node);
}

Expression ExpressionPool::AnyOf(const TextNumbers& texts) {
  FlatVector<std::string_view> sorted;
  for (const auto& [text, number] : texts.map()) sorted.push_back(text);
  return AnyOfSorted(sorted, 0);
}

Expression ExpressionPool::AnyOfSorted(std::span<const std::string_view> texts, size_t depth) {
  if (texts.empty()) return kNothing;
  if (texts.size() == 1) return Literal(texts[0].substr(depth));
  // What all share is one literal, so that the depth of calls is that of branches.
  size_t shared = depth;
  while (shared < texts.front().size() && shared < texts.back().size() &&
         texts.front()[shared] == texts.back()[shared]) {
    ++shared;
  }
  FlatVector<Expression> branches;
  size_t i = 0;
  if (texts[0].size() == shared) {
    branches.push_back(kEmpty);
    i = 1;
  }
  while (i < texts.size()) {
    size_t end = i + 1;
    while (end < texts.size() && texts[end][shared] == texts[i][shared]) ++end;
    branches.push_back(AnyOfSorted(texts.subspan(i, end - i), shared));
    i = end;
  }
  return Concat(Literal(texts[0].substr(depth, shared - depth)), Or(branches));
}

/// Of the part of a string that `e` is: what comes behind it can be reached from anywhere in it.
uint32_t ExpressionPool::FreeOf(Expression e) const {
  const Node& node = nodes_[e];
  switch (node.kind) {
    case Kind::kRepeat:
      return std::find(plain_.begin(), plain_.end(), node.a) == plain_.end() ? 0 : node.c;
    case Kind::kConcat:
      return FreeOf(node.a);
    case Kind::kOr: {
      uint32_t most = 0;
      for (const Expression part : List(node)) most = std::max(most, FreeOf(part));
      return most;
    }
    case Kind::kAnd: {
      // A string that may not be one of finitely many can always be made longer than they are.
      uint32_t free = 0;
      for (const Expression part : List(node)) {
        const Node& child = nodes_[part];
        if (child.kind == Kind::kNot && nodes_[child.a].is_finite) continue;
        const bool is_loop = child.kind == Kind::kRepeat && child.c == kUnbounded;
        if (free != 0 || !is_loop || FreeOf(part) == 0) return 0;
        free = kUnbounded;
      }
      return free;
    }
    default:
      return 0;
  }
}

uint32_t ExpressionPool::FreeCharacters(Expression e, bool* is_exact) const {
  *is_exact = false;
  const Node& whole = nodes_[e];
  if (whole.kind != Kind::kConcat) return FreeOf(e);
  const Node& rest = nodes_[whole.b];
  const Node& end = rest.kind == Kind::kConcat ? nodes_[rest.a] : rest;
  ByteSet quote;
  quote.Add('"');
  *is_exact =
      nodes_[whole.a].kind == Kind::kRepeat && end.kind == Kind::kBytes && sets_[end.a] == quote;
  return FreeOf(e);
}

Expression ExpressionPool::Widen(Expression e, uint32_t least) {
  const Node whole = nodes_[e];
  if (whole.kind != Kind::kConcat) return e;
  const Node body = nodes_[whole.a];
  const bool has_bound = body.kind == Kind::kRepeat && body.c != kUnbounded && body.c >= least;
  if (!has_bound || std::find(plain_.begin(), plain_.end(), body.a) == plain_.end()) return e;
  return Concat(Repeat(body.a, body.b), whole.b);
}

}  // namespace graft::runtime
