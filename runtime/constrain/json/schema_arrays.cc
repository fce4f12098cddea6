// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr size_t kMaxPrefix = 5000;
constexpr size_t kMaxUnique = 500;  // values that items can be, each once

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

/// Items that are all different: they are like the members of an object, of which each comes once.
Status SchemaCompiler::BuildUnique(RuleId rule, const Conjunction& flat, const Limits& limits) {
  Status refusal = Unsupported(flat.front().schema, "uniqueItems");
  GRAFT_ASSIGN_OR_RETURN(const Conjunction item, ItemAt(flat, 0));
  Conjunction parts;
  GRAFT_ASSIGN_OR_RETURN(const bool may_hold, Flatten(item, &parts));
  if (PrefixCount(flat) > 0) return refusal;
  FlatVector<JsonId> values;
  if (may_hold) {
    for (const Part& part : parts) {
      if (HasOneOf(part.schema, kChoices)) return refusal;
    }
    GRAFT_ASSIGN_OR_RETURN(const bool is_listed, ListValues(parts, &values));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t types, TypesOf(parts));
    if (!is_listed) {
      if ((types & ~uint32_t{kBoolType | kNullType}) != 0) return refusal;
      for (const JsonType type : {JsonType::kTrue, JsonType::kFalse, JsonType::kNull}) {
        const JsonId value = tree_.Add(type, flat.front().schema);
        if ((types & TypeOf(value)) != 0) values.push_back(value);
      }
    }
    if (values.size() > kMaxUnique) return refusal;
  }
  MemberList list;
  list.min = limits.min;
  list.max = limits.max;
  list.comma = comma_;
  const uint32_t members = grammar_.NewMembers(list);
  const RuleId nothing = grammar_.NewRule();
  grammar_.AddWay(nothing, {});
  for (const JsonId* value = values.begin(); value != values.end(); ++value) {
    const bool is_known = std::any_of<const JsonId*>(
        values.begin(), value, [&](JsonId other) { return AreEqual(other, *value); });
    if (!is_known) grammar_.AddMember(members, ValueText(*value), nothing, /*is_required=*/false);
  }
  const GrammarSymbol open = Grammar::Is(pool_.Concat(pool_.Literal("["), space_));
  const GrammarSymbol close = Grammar::Is(pool_.Concat(space_, pool_.Literal("]")));
  grammar_.AddWay(rule, {open, Grammar::Members(members), close});
  return OkStatus();
}

Status SchemaCompiler::BuildArray(RuleId rule, const Conjunction& flat) {
  GRAFT_ASSIGN_OR_RETURN(const Limits limits, ReadLimits(flat, "minItems"sv, "maxItems"sv));
  bool is_unique = false;
  for (const Part& part : flat) {
    const JsonId unique = tree_.Find(part.schema, "uniqueItems");
    is_unique = is_unique || (unique != kNoJson && tree_[unique].type == JsonType::kTrue);
    if (tree_.Find(part.schema, "contains") != kNoJson) return Unsupported(part.schema, "contains");
  }
  if (limits.min > limits.max) return OkStatus();
  const size_t prefix = PrefixCount(flat);
  if (is_unique && limits.max > 1) return BuildUnique(rule, flat, limits);
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
                    Grammar::Repeated(more, less(limits.min, prefix), less(limits.max, prefix)));
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
