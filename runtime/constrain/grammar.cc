// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/grammar.h"

#include <utility>

namespace graft::runtime {

using Kind = GrammarSymbol::Kind;

RuleId Grammar::NewRule() {
  rules_.emplace_back();
  return static_cast<RuleId>(rules_.size() - 1);
}

void Grammar::AddWay(RuleId rule, std::span<const GrammarSymbol> symbols) {
  if (symbols_.size() > kMaxSymbols) return;
  for (const GrammarSymbol& symbol : symbols) {
    if (symbol.kind == Kind::kExpression && symbol.value == kNothing) return;
  }
  rules_[rule].push_back(static_cast<uint32_t>(symbols_.size()));
  for (const GrammarSymbol& symbol : symbols) {
    if (symbol.kind != Kind::kExpression || symbol.value != kEmpty) symbols_.push_back(symbol);
  }
  symbols_.push_back({});
}

void Grammar::AddWay(RuleId rule, GrammarSymbol symbol) { AddWay(rule, std::span(&symbol, 1)); }

void Grammar::AddMember(uint32_t list, Expression key, RuleId value, bool is_required) {
  if (symbols_.size() > kMaxSymbols) return;
  MemberList& members = members_[list];
  const auto index = static_cast<uint32_t>(members.members.size());
  members.members.push_back({static_cast<uint32_t>(symbols_.size()), value, is_required});
  if (is_required) ++members.required;
  symbols_.push_back(Is(key));
  symbols_.push_back(Call(value));
  symbols_.push_back({Kind::kMemberEnd, index, 0, 0});
}

void Grammar::SetOthers(uint32_t list, RuleId other) {
  if (symbols_.size() > kMaxSymbols) return;
  members_[list].has_others = true;
  members_[list].other = other;
  members_[list].other_way = static_cast<uint32_t>(symbols_.size());
  symbols_.push_back(Call(other));
  symbols_.push_back({Kind::kMemberEnd, MemberList::kOther, 0, 0});
}

/// Whether nothing that is known matches `symbol`. *waits_for: the rule that is not known to live.
bool Grammar::IsDead(const GrammarSymbol& symbol, std::span<const uint8_t> lives,
                     RuleId* waits_for) {
  *waits_for = static_cast<RuleId>(rules_.size());
  switch (symbol.kind) {
    case Kind::kExpression:
      return !pool_.IsAlive(symbol.value);
    case Kind::kRule:
    case Kind::kRepeat:
      *waits_for = symbol.value;
      return lives[symbol.value] == 0 && (symbol.kind == Kind::kRule || symbol.min > 0);
    case Kind::kMembers: {
      const MemberList& list = members_[symbol.value];
      if (list.required > list.max || list.min > list.max) return true;
      size_t alive = 0;
      RuleId dead = *waits_for;
      for (const MemberList::Member& member : list.members) {
        if (lives[member.value] != 0) {
          ++alive;
          continue;
        }
        dead = member.value;
        if (!member.is_required) continue;
        *waits_for = member.value;
        return true;
      }
      if (list.has_others && lives[list.other] != 0) ++alive;  // others may have one name
      *waits_for = list.has_others && lives[list.other] == 0 ? list.other : dead;
      return alive < list.min;
    }
    case Kind::kEnd:
    case Kind::kMemberEnd:
      return false;
  }
  return false;
}

// A rule lives if one of its ways consists of what lives. Found from the bottom up: a way waits for
// a rule of the first of its symbols that is not known to live.
void Grammar::DropDeadWays() {
  struct Waiting {
    RuleId rule;
    uint32_t position;
    uint32_t next;  // that waits for the same rule, and 1; 0: none
  };
  FlatVector<uint8_t> lives(rules_.size());
  FlatVector<Waiting> waiting;
  FlatVector<uint32_t> first(rules_.size());  // as Waiting::next, by rule
  FlatVector<NumberPair> work;
  for (RuleId rule = 0; rule < rules_.size(); ++rule) {
    for (const uint32_t way : rules_[rule]) work.push_back({rule, way});
  }
  RuleId waits_for = 0;
  while (!work.empty()) {
    auto [rule, position] = work.back();
    work.pop_back();
    if (lives[rule] != 0) continue;
    while (symbols_[position].kind != Kind::kEnd &&
           !IsDead(symbols_[position], lives, &waits_for)) {
      ++position;
    }
    if (symbols_[position].kind != Kind::kEnd) {
      if (waits_for < rules_.size()) {
        waiting.push_back({rule, position, first[waits_for]});
        first[waits_for] = static_cast<uint32_t>(waiting.size());
      }
      continue;
    }
    lives[rule] = 1;
    for (uint32_t i = first[rule]; i != 0; i = waiting[i - 1].next) {
      work.push_back({waiting[i - 1].rule, waiting[i - 1].position});
    }
  }
  for (FlatVector<uint32_t>& ways : rules_) {
    EraseIf(&ways, [&](uint32_t position) {
      for (; symbols_[position].kind != Kind::kEnd; ++position) {
        if (IsDead(symbols_[position], lives, &waits_for)) return true;
      }
      return false;
    });
  }
  // What is dead may be left out of repetitions and members.
  for (GrammarSymbol& symbol : symbols_) {
    if (symbol.kind == Kind::kRepeat && lives[symbol.value] == 0) symbol.max = 0;
  }
  for (MemberList& list : members_) {
    EraseIf(&list.members,
            [&](const MemberList::Member& member) { return lives[member.value] == 0; });
    for (uint32_t i = 0; i < list.members.size(); ++i) {
      symbols_[list.members[i].way + 2].value = i;
    }
    list.has_others = list.has_others && lives[list.other] != 0;
  }
}

bool Grammar::MayBeEmpty(const GrammarSymbol& symbol, std::span<const uint8_t> is_nullable) const {
  switch (symbol.kind) {
    case Kind::kExpression:
      return pool_.IsNullable(symbol.value);
    case Kind::kRule:
      return is_nullable[symbol.value] != 0;
    case Kind::kRepeat:
      return symbol.min == 0 || is_nullable[symbol.value] != 0;
    case Kind::kMembers:
      return members_[symbol.value].required == 0 && members_[symbol.value].min == 0;
    default:
      return false;
  }
}

Status Grammar::FindLeftRecursion() const {
  // Which rules may match nothing.
  FlatVector<uint8_t> is_nullable(rules_.size());
  for (bool has_changed = true; has_changed;) {
    has_changed = false;
    for (auto rule = static_cast<RuleId>(rules_.size()); rule-- > 0;) {
      for (uint32_t position : rules_[rule]) {
        if (is_nullable[rule] != 0) break;
        while (MayBeEmpty(symbols_[position], is_nullable)) ++position;
        if (symbols_[position].kind != Kind::kEnd) continue;
        is_nullable[rule] = 1;
        has_changed = true;
      }
    }
  }
  // Rules that may stand first, searched for circles without calls: a schema's rules are a long row.
  std::vector<FlatVector<RuleId>> first(rules_.size());
  for (RuleId rule = 0; rule < rules_.size(); ++rule) {
    for (uint32_t position : rules_[rule]) {
      for (; symbols_[position].kind != Kind::kEnd; ++position) {
        const GrammarSymbol& symbol = symbols_[position];
        if (symbol.kind == Kind::kRule || (symbol.kind == Kind::kRepeat && symbol.max > 0)) {
          first[rule].push_back(symbol.value);
        }
        if (!MayBeEmpty(symbol, is_nullable)) break;
      }
    }
  }
  FlatVector<uint8_t> mark(rules_.size());  // 1: on the path, 2: done
  FlatVector<NumberPair> path;
  for (RuleId root = 0; root < rules_.size(); ++root) {
    if (mark[root] != 0) continue;
    mark[root] = 1;
    path.push_back({root, 0});
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      if (next == first[rule].size()) {
        mark[rule] = 2;
        path.pop_back();
        continue;
      }
      const RuleId child = first[rule][next++];
      if (mark[child] == 1) {
        return Status(StatusCode::kInvalidArgument,
                      "a rule of the grammar begins with itself (left recursion)");
      }
      if (mark[child] == 0) {
        mark[child] = 1;
        path.push_back({child, 0});
      }
    }
  }
  return OkStatus();
}

Status Grammar::Finish(RuleId start) {
  if (overflowed()) {
    return Status(StatusCode::kInvalidArgument, "the constraint is too large to build");
  }
  start_ = start;
  DropDeadWays();
  if (rules_[start].empty()) {
    return Status(StatusCode::kInvalidArgument, "no text satisfies the constraint");
  }
  GRAFT_RETURN_IF_ERROR(FindLeftRecursion());
  pool_.Freeze();
  return OkStatus();
}

}  // namespace graft::runtime
