// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxPrefix = 5000;

}  // namespace

size_t SchemaCompiler::PrefixCount(const Conjunction& flat) const {
  size_t count = 0;
  for (const Part& part : flat) {
    for (const char* keyword : {"prefixItems", "items"}) {
      const JsonId list = tree_.Find(part.schema, keyword);
      if (list != kNoJson && tree_[list].type == JsonType::kArray) {
        count = std::max(count, tree_[list].items.size());
      }
    }
  }
  return count;
}

/// What applies to the item of that index.
Result<SchemaCompiler::Conjunction> SchemaCompiler::ItemAt(const Conjunction& flat,
                                                           size_t index) const {
  Conjunction item;
  for (const Part& part : flat) {
    JsonId prefix = tree_.Find(part.schema, "prefixItems");
    JsonId rest = tree_.Find(part.schema, "items");
    // Drafts before 2020-12 have the prefix in items, and the rest in additionalItems.
    if (rest != kNoJson && tree_[rest].type == JsonType::kArray) {
      prefix = rest;
      rest = tree_.Find(part.schema, "additionalItems");
    }
    if (prefix != kNoJson && index < tree_[prefix].items.size()) rest = tree_[prefix].items[index];
    if (rest != kNoJson) item.push_back({rest, 0});
  }
  return item;
}

Status SchemaCompiler::BuildArray(RuleId rule, const Conjunction& flat) {
  GRAFT_ASSIGN_OR_RETURN(const Limits limits, ReadLimits(flat, "minItems", "maxItems"));
  for (const Part& part : flat) {
    const JsonId unique = tree_.Find(part.schema, "uniqueItems");
    if (unique != kNoJson && tree_[unique].type == JsonType::kTrue && limits.max > 1) {
      return Unsupported(part.schema, "uniqueItems");
    }
    if (tree_.Find(part.schema, "contains") != kNoJson) return Unsupported(part.schema, "contains");
  }
  if (limits.min > limits.max) return OkStatus();
  const size_t prefix = PrefixCount(flat);
  if (prefix > kMaxPrefix) return Unsupported(flat.front().schema, "prefixItems");
  const GrammarSymbol open = Grammar::Is(pool_.Concat(pool_.Literal("["), space_));
  const GrammarSymbol close = Grammar::Is(pool_.Concat(space_, pool_.Literal("]")));
  const GrammarSymbol comma = Grammar::Is(comma_);
  const auto less = [](uint32_t from, size_t by) {
    if (from == kUnbounded) return kUnbounded;
    return from > by ? from - static_cast<uint32_t>(by) : 0;
  };
  GRAFT_ASSIGN_OR_RETURN(Conjunction rest, ItemAt(flat, prefix));
  const GrammarSymbol item = Grammar::Call(RuleFor(std::move(rest)));
  const RuleId more = grammar_.NewRule();  // a comma and an item
  grammar_.AddWay(more, {comma, item});
  // From the end to the start: what may follow after so many items.
  RuleId after = grammar_.NewRule();
  if (prefix == 0) {
    if (limits.max > 0) {
      grammar_.AddWay(after,
                      {item, Grammar::Repeated(more, less(limits.min, 1), less(limits.max, 1))});
    }
    if (limits.min == 0) grammar_.AddWay(after, {});
  } else {
    grammar_.AddWay(after,
                    {Grammar::Repeated(more, less(limits.min, prefix), less(limits.max, prefix))});
  }
  for (size_t i = prefix; i-- > 0;) {
    GRAFT_ASSIGN_OR_RETURN(Conjunction parts, ItemAt(flat, i));
    const GrammarSymbol own = Grammar::Call(RuleFor(std::move(parts)));
    const RuleId before = grammar_.NewRule();
    if (i >= limits.min) grammar_.AddWay(before, {});
    if (i < limits.max) {
      if (i == 0) {
        grammar_.AddWay(before, {own, Grammar::Call(after)});
      } else {
        grammar_.AddWay(before, {comma, own, Grammar::Call(after)});
      }
    }
    after = before;
  }
  grammar_.AddWay(rule, {open, Grammar::Call(after), close});
  return OkStatus();
}

}  // namespace graft::runtime
