// SPDX-License-Identifier: Apache-2.0
// Grammar: rules whose symbols are expressions, other rules, counted repetitions of them, and the
// members of objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/constrain/expressions.h"
#include "schema/result.h"

namespace graft::runtime {

using RuleId = uint32_t;

struct GrammarSymbol {
  enum class Kind : uint8_t { kEnd, kExpression, kRule, kRepeat, kMembers, kMemberEnd };
  Kind kind = Kind::kEnd;
  /// The expression, the rule, the index of the MemberList, or that of the member that ends.
  uint32_t value = 0;
  uint32_t min = 0;  ///< kRepeat
  uint32_t max = 0;
};

/// What may stand between the braces of an object: members of which each stands there once at most,
/// and others, `comma` between them.
struct MemberList {
  static constexpr uint32_t kOther = UINT32_MAX;
  struct Member {
    uint32_t way;  ///< the position of its key, its value and its kMemberEnd
    RuleId value;
    bool is_required;
  };
  FlatVector<Member> members;
  bool has_others = false;
  uint32_t other_way = 0;  ///< as Member::way
  RuleId other = 0;
  uint32_t required = 0;  ///< how many members are
  uint32_t min = 0;       ///< of members and others
  uint32_t max = kUnbounded;
  bool in_order = false;  ///< members stand in the order of the list, others behind them
  Expression comma = kEmpty;
};

class Grammar {
 public:
  static constexpr size_t kMaxSymbols = 2000000;

  ExpressionPool& pool() { return pool_; }
  const ExpressionPool& pool() const { return pool_; }

  RuleId NewRule();
  /// Adds a way to match `rule`: the symbols, one after the other.
  void AddWay(RuleId rule, std::span<const GrammarSymbol> symbols);
  void AddWay(RuleId rule, GrammarSymbol symbol);
  void AddWay(RuleId rule, std::initializer_list<GrammarSymbol> symbols) {
    AddWay(rule, std::span(symbols.begin(), symbols.size()));
  }
  /// Adds a list without members.
  uint32_t NewMembers(const MemberList& list) {
    members_.push_back(list);
    return static_cast<uint32_t>(members_.size() - 1);
  }
  void AddMember(uint32_t list, Expression key, RuleId value, bool is_required);
  /// `other`: the rule of a key and its value.
  void SetOthers(uint32_t list, RuleId other);
  static GrammarSymbol Members(uint32_t list) {
    return {GrammarSymbol::Kind::kMembers, list, 0, 0};
  }
  static GrammarSymbol Is(Expression e) { return {GrammarSymbol::Kind::kExpression, e, 0, 0}; }
  static GrammarSymbol Call(RuleId rule) { return {GrammarSymbol::Kind::kRule, rule, 0, 0}; }
  static GrammarSymbol Repeated(RuleId rule, uint32_t min, uint32_t max) {
    return {GrammarSymbol::Kind::kRepeat, rule, min, max};
  }

  /// Takes out the ways that no text matches, and fixes the grammar.
  /// Errors   kInvalidArgument: no text matches `start`, a rule begins with itself, or all is too
  ///          large.
  Status Finish(RuleId start);

  RuleId start() const { return start_; }
  const GrammarSymbol& symbol(uint32_t position) const { return symbols_[position]; }
  /// Positions of the first symbols of the ways.
  std::span<const uint32_t> ways(RuleId rule) const { return rules_[rule]; }
  const MemberList& members(uint32_t list) const { return members_[list]; }
  size_t rule_count() const { return rules_.size(); }
  size_t symbol_count() const { return symbols_.size(); }
  /// Whether something was too large to build.
  bool overflowed() const { return symbols_.size() > kMaxSymbols || pool_.overflowed(); }

 private:
  void DropDeadWays();
  bool IsDead(const GrammarSymbol& symbol, std::span<const uint8_t> lives, RuleId* waits_for);
  bool MayBeEmpty(const GrammarSymbol& symbol, std::span<const uint8_t> is_nullable) const;
  Status FindLeftRecursion() const;

  ExpressionPool pool_;
  FlatVector<GrammarSymbol> symbols_;
  std::vector<FlatVector<uint32_t>> rules_;
  std::vector<MemberList> members_;
  RuleId start_ = 0;
};

}  // namespace graft::runtime
