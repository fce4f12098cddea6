// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/gbnf.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "runtime/base/utf8.h"
#include "runtime/constrain/gbnf_syntax.h"

namespace graft::runtime {
namespace {

/// Marks the rules that lead back to themselves, by Tarjan's components without calls.
void FindRecursion(GbnfSyntax* syntax) {
  const size_t count = syntax->rules.size();
  std::vector<FlatVector<uint32_t>> calls(count);
  for (uint32_t rule = 0; rule < count; ++rule) {
    FlatVector<GbnfNodeId> open = {syntax->rules[rule].body};
    while (!open.empty()) {
      const GbnfNode& node = syntax->nodes[open.back()];
      open.pop_back();
      if (node.kind == GbnfNode::Kind::kRule) calls[rule].push_back(node.value);
      open.Append(syntax->PartsOf(node));
    }
  }
  struct Frame {
    uint32_t rule;
    size_t next;
  };
  FlatVector<uint32_t> order(count);
  FlatVector<uint32_t> low(count);
  FlatVector<uint8_t> is_open(count);
  FlatVector<uint32_t> open;
  uint32_t clock = 0;
  for (uint32_t root = 0; root < count; ++root) {
    if (order[root] != 0) continue;
    FlatVector<Frame> path;
    const auto enter = [&](uint32_t rule) {
      order[rule] = low[rule] = ++clock;
      is_open[rule] = 1;
      open.push_back(rule);
      path.push_back({rule, 0});
    };
    enter(root);
    while (!path.empty()) {
      const uint32_t rule = path.back().rule;
      if (path.back().next < calls[rule].size()) {
        const uint32_t callee = calls[rule][path.back().next++];
        if (callee == rule) syntax->rules[rule].is_recursive = true;
        if (order[callee] == 0) {
          enter(callee);
        } else if (is_open[callee] != 0) {
          low[rule] = std::min(low[rule], order[callee]);
        }
        continue;
      }
      path.pop_back();
      if (!path.empty()) low[path.back().rule] = std::min(low[path.back().rule], low[rule]);
      if (low[rule] != order[rule]) continue;
      const bool is_circle = open.back() != rule;
      uint32_t member = 0;
      do {
        member = open.back();
        open.pop_back();
        is_open[member] = 0;
        if (is_circle) syntax->rules[member].is_recursive = true;
      } while (member != rule);
    }
  }
}

/// Nodes to expressions where they lead to no recursive rule, else to symbols.
class Builder {
 public:
  Builder(GbnfSyntax* syntax, Grammar* grammar) : syntax_(*syntax), grammar_(*grammar) {
    rules_.assign(syntax->rules.size(), kUnknown);
    expressions_.assign(syntax->rules.size(), kUnknown);
  }

  GrammarSymbol Build(GbnfNodeId id) {
    const GbnfNode node = syntax_.nodes[id];
    switch (node.kind) {
      case GbnfNode::Kind::kExpression:
        return Grammar::Is(node.value);
      case GbnfNode::Kind::kRule:
        return BuildRule(node.value);
      case GbnfNode::Kind::kRepeat: {
        const GrammarSymbol body = Build(syntax_.PartsOf(node)[0]);
        if (body.kind == GrammarSymbol::Kind::kExpression) {
          return Grammar::Is(grammar_.pool().Repeat(body.value, node.min, node.max));
        }
        const RuleId rule = grammar_.NewRule();
        grammar_.AddWay(rule, {body});
        return Grammar::Repeated(rule, node.min, node.max);
      }
      case GbnfNode::Kind::kSequence: {
        if (node.count == 1) return Build(syntax_.PartsOf(node)[0]);
        FlatVector<GrammarSymbol> symbols;
        for (const GbnfNodeId part : syntax_.PartsOf(node)) symbols.push_back(Build(part));
        if (AreExpressions(symbols)) {
          Expression all = kEmpty;
          for (size_t i = symbols.size(); i-- > 0;) {
            all = grammar_.pool().Concat(symbols[i].value, all);
          }
          return Grammar::Is(all);
        }
        const RuleId rule = grammar_.NewRule();
        grammar_.AddWay(rule, symbols);
        return Grammar::Call(rule);
      }
      case GbnfNode::Kind::kChoice: {
        if (node.count == 1) return Build(syntax_.PartsOf(node)[0]);
        FlatVector<GrammarSymbol> ways;
        for (const GbnfNodeId part : syntax_.PartsOf(node)) ways.push_back(Build(part));
        if (AreExpressions(ways)) {
          FlatVector<Expression> all;
          for (const GrammarSymbol& way : ways) all.push_back(way.value);
          return Grammar::Is(grammar_.pool().Or(all));
        }
        const RuleId rule = grammar_.NewRule();
        for (const GrammarSymbol& way : ways) grammar_.AddWay(rule, {way});
        return Grammar::Call(rule);
      }
    }
    return Grammar::Is(kNothing);
  }

  /// Builds the bodies of recursive rules, which may ask for more of them.
  void BuildBodies() {
    while (!work_.empty()) {
      const uint32_t rule = work_.back();
      work_.pop_back();
      grammar_.AddWay(rules_[rule], {Build(syntax_.rules[rule].body)});
    }
  }

  /// Deep rows of rules are not followed down, but stay rules.
  GrammarSymbol BuildRule(uint32_t rule) {
    if (syntax_.rules[rule].is_recursive ||
        (depth_ > kMaxInlined && expressions_[rule] == kUnknown)) {
      if (rules_[rule] == kUnknown) {
        rules_[rule] = grammar_.NewRule();
        work_.push_back(rule);
      }
      return Grammar::Call(rules_[rule]);
    }
    if (rules_[rule] != kUnknown) return Grammar::Call(rules_[rule]);
    if (expressions_[rule] != kUnknown) return Grammar::Is(expressions_[rule]);
    ++depth_;
    const GrammarSymbol body = Build(syntax_.rules[rule].body);
    --depth_;
    if (body.kind == GrammarSymbol::Kind::kExpression) {
      expressions_[rule] = body.value;
      return body;
    }
    rules_[rule] = grammar_.NewRule();
    grammar_.AddWay(rules_[rule], {body});
    return Grammar::Call(rules_[rule]);
  }

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;
  static constexpr size_t kMaxInlined = 20;  // rules within rules

  static bool AreExpressions(const FlatVector<GrammarSymbol>& symbols) {
    return std::ranges::all_of(symbols, [](const GrammarSymbol& symbol) {
      return symbol.kind == GrammarSymbol::Kind::kExpression;
    });
  }

  GbnfSyntax& syntax_;
  Grammar& grammar_;
  FlatVector<RuleId> rules_;
  FlatVector<Expression> expressions_;
  FlatVector<uint32_t> work_;
  size_t depth_ = 0;
};

}  // namespace

Result<Grammar> CompileGbnf(std::string_view text) {
  if (text.size() > kMaxGbnfBytes) {
    return Error(StatusCode::kInvalidArgument, "the grammar has %zu bytes, more than %zu",
                 text.size(), kMaxGbnfBytes);
  }
  if (!IsValidUtf8(text)) return Status(StatusCode::kInvalidArgument, "the grammar is not UTF-8");
  Grammar grammar;
  GRAFT_ASSIGN_OR_RETURN(GbnfSyntax syntax, ParseGbnf(text, &grammar.pool()));
  const uint32_t* const root = syntax.names.Find("root");
  if (root == nullptr) {
    return Status(StatusCode::kInvalidArgument, "the grammar has no rule 'root'");
  }
  FindRecursion(&syntax);
  Builder builder(&syntax, &grammar);
  const RuleId start = grammar.NewRule();
  grammar.AddWay(start, {builder.BuildRule(*root)});
  builder.BuildBodies();
  GRAFT_RETURN_IF_ERROR(grammar.Finish(start));
  return grammar;
}

}  // namespace graft::runtime
