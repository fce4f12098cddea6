// SPDX-License-Identifier: Apache-2.0
// Reading expressions: what is left of one after a byte.
#include <algorithm>

#include "runtime/constrain/expressions.h"

namespace graft::runtime {

void ExpressionPool::GrowMemo() {
  FlatVector<Memo> old;
  old.assign(memo_.size() * 2, Memo());
  old.swap(memo_);
  for (const Memo& memo : old) {
    if (memo.key == UINT64_MAX) continue;
    size_t slot = memo.key * 0x9E3779B97F4A7C15u >> 20 & (memo_.size() - 1);
    while (memo_[slot].key != UINT64_MAX) slot = (slot + 1) & (memo_.size() - 1);
    memo_[slot] = memo;
  }
}

Expression ExpressionPool::Derive(Expression e, uint8_t byte) {
  // What is cheaper to compute than to remember.
  const Node& node = nodes_[e];
  if (node.kind == Kind::kBytes) return sets_[node.a].Has(byte) ? kEmpty : kNothing;
  if (node.kind == Kind::kConcat && nodes_[node.a].kind == Kind::kBytes) {
    return sets_[nodes_[node.a].a].Has(byte) ? node.b : kNothing;
  }
  const uint64_t key = MemoKey(e, byte);
  size_t slot = key * 0x9E3779B97F4A7C15u >> 20 & (memo_.size() - 1);
  while (memo_[slot].key != UINT64_MAX) {
    if (memo_[slot].key == key) return memo_[slot].value;
    slot = (slot + 1) & (memo_.size() - 1);
  }
  const Expression value = DeriveOnce(e, byte);
  if (++memo_count_ * 2 > memo_.size()) GrowMemo();
  slot = key * 0x9E3779B97F4A7C15u >> 20 & (memo_.size() - 1);
  while (memo_[slot].key != UINT64_MAX && memo_[slot].key != key) {
    slot = (slot + 1) & (memo_.size() - 1);
  }
  memo_[slot] = {key, value};
  return value;
}

Expression ExpressionPool::DeriveConcat(Expression e, uint8_t byte) {
  FlatVector<Expression> ways;
  while (nodes_[e].kind == Kind::kConcat) {
    const Node node = nodes_[e];
    const Expression head = Derive(node.a, byte);
    if (head != kNothing) ways.push_back(Concat(head, node.b));
    if (!IsNullable(node.a)) return Or(ways);
    e = node.b;
  }
  ways.push_back(Derive(e, byte));
  return Or(ways);
}

Expression ExpressionPool::DeriveOnce(Expression e, uint8_t byte) {
  const Node node = nodes_[e];
  Spend(1);
  if (overflowed_) return kNothing;
  switch (node.kind) {
    case Kind::kNothing:
    case Kind::kEmpty:
      return kNothing;
    case Kind::kBytes:
      return sets_[node.a].Has(byte) ? kEmpty : kNothing;
    case Kind::kConcat:
      return DeriveConcat(e, byte);
    case Kind::kOr:
    case Kind::kAnd: {
      FlatVector<Expression> parts(List(node));
      for (Expression& part : parts) {
        part = Derive(part, byte);
        if (part == kNothing && node.kind == Kind::kAnd) return kNothing;
      }
      return node.kind == Kind::kOr ? Or(parts) : And(parts);
    }
    case Kind::kNot:
      return Not(Derive(node.a, byte));
    case Kind::kRepeat: {
      const Expression head = Derive(node.a, byte);
      if (head == kNothing) return kNothing;
      const uint32_t max = node.c == kUnbounded ? kUnbounded : node.c - 1;
      return Concat(head, Repeat(node.a, node.b == 0 ? 0 : node.b - 1, max));
    }
    case Kind::kCompare:
      return DeriveCompare(node, byte);
    case Kind::kMultiple:
      return DeriveMultiple(node, byte);
  }
  return kNothing;
}

ByteSet ExpressionPool::FirstBytes(Expression e) const {
  ByteSet set;
  for (;;) {
    const Node& node = nodes_[e];
    ++looked_at_;
    switch (node.kind) {
      case Kind::kNothing:
      case Kind::kEmpty:
        return set;
      case Kind::kBytes:
        set.Unite(sets_[node.a]);
        return set;
      case Kind::kConcat:
        set.Unite(FirstBytes(node.a));
        if (!nodes_[node.a].is_nullable) return set;
        e = node.b;
        break;
      case Kind::kOr:
        for (const Expression part : List(node)) set.Unite(FirstBytes(part));
        return set;
      case Kind::kAnd: {
        ByteSet all;
        all.words.fill(UINT64_MAX);
        for (const Expression part : List(node)) all.Intersect(FirstBytes(part));
        set.Unite(all);
        return set;
      }
      case Kind::kNot:
        set.words.fill(UINT64_MAX);
        return set;
      case Kind::kRepeat:
        e = node.a;
        break;
      case Kind::kCompare:
      case Kind::kMultiple:
        set.AddRange('0', '9');
        set.Add('.');
        return set;
    }
  }
}

ByteSet ExpressionPool::SameBytes(Expression e, uint8_t byte) const {
  ByteSet same;
  same.words.fill(UINT64_MAX);
  for (;;) {
    const Node& node = nodes_[e];
    ++looked_at_;
    switch (node.kind) {
      case Kind::kNothing:
      case Kind::kEmpty:
        return same;
      case Kind::kBytes: {
        ByteSet set = sets_[node.a];
        if (!set.Has(byte)) {
          for (uint64_t& word : set.words) word = ~word;
        }
        same.Intersect(set);
        return same;
      }
      case Kind::kConcat:
        same.Intersect(SameBytes(node.a, byte));
        if (!nodes_[node.a].is_nullable) return same;
        e = node.b;
        break;
      case Kind::kOr:
      case Kind::kAnd:
        for (const Expression part : List(node)) same.Intersect(SameBytes(part, byte));
        return same;
      case Kind::kNot:
      case Kind::kRepeat:
        e = node.a;
        break;
      case Kind::kCompare:
      case Kind::kMultiple: {
        ByteSet set;
        if ((byte >= '0' && byte <= '9') || byte == '.') {
          set.Add(byte);
        } else {
          set.words.fill(UINT64_MAX);
          set.words[0] &= ~(uint64_t{0x3FF} << '0' | uint64_t{1} << '.');
        }
        same.Intersect(set);
        return same;
      }
    }
  }
}

bool ExpressionPool::Matches(Expression e, std::string_view text) {
  for (const char c : text) e = Derive(e, static_cast<uint8_t>(c));
  return IsNullable(e);
}

void ExpressionPool::Compact(std::span<Expression> live) {
  const size_t count = nodes_.size();
  FlatVector<uint8_t> is_live(count);
  for (const Expression e : live) is_live[e] = 1;
  // Parts are older than what they are part of.
  for (size_t i = count; i-- > frozen_;) {
    if (is_live[i] == 0) continue;
    const Node& node = nodes_[i];
    if (node.kind == Kind::kOr || node.kind == Kind::kAnd) {
      for (const Expression part : List(node)) is_live[part] = 1;
    } else if (node.kind == Kind::kConcat) {
      is_live[node.a] = is_live[node.b] = 1;
    } else if (node.kind == Kind::kNot || node.kind == Kind::kRepeat) {
      is_live[node.a] = 1;
    }
  }
  const FlatVector<Node> kept(std::span<const Node>(nodes_).subspan(frozen_));
  const FlatVector<Expression> lists(std::span<const Expression>(lists_).subspan(frozen_lists_));
  FlatVector<Expression> moved(count);
  for (size_t i = 0; i < frozen_; ++i) moved[i] = static_cast<Expression>(i);
  nodes_.resize(frozen_);
  lists_.resize(frozen_lists_);
  lives_.clear();
  lengths_.clear();
  memo_.assign(1024, Memo());
  memo_count_ = 0;
  Rehash(table_.size());
  for (size_t i = frozen_; i < count; ++i) {
    if (is_live[i] == 0) continue;
    Node node = kept[i - frozen_];
    if (node.kind == Kind::kOr || node.kind == Kind::kAnd) {
      FlatVector<Expression> parts;
      for (size_t k = 0; k < node.b; ++k) parts.push_back(moved[lists[node.a - frozen_lists_ + k]]);
      SortUnique(&parts);
      moved[i] = InternList(node.kind, &parts);
      continue;
    }
    if (node.kind == Kind::kConcat) node.b = moved[node.b];
    if (node.kind == Kind::kConcat || node.kind == Kind::kNot || node.kind == Kind::kRepeat) {
      node.a = moved[node.a];
    }
    moved[i] = Intern(node);
  }
  for (Expression& e : live) e = moved[e];
}

}  // namespace graft::runtime
