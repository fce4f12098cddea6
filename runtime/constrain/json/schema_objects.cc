// SPDX-License-Identifier: Apache-2.0
// Objects: the properties that a schema names, in the order in which it names them, then those that it
// requires without naming them, then all others.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr size_t kMaxPatterns = 6;  // their combinations are counted out

}  // namespace

std::string SchemaCompiler::Inside(std::string_view text) {
  const std::string quoted = QuoteJson(text);
  return quoted.substr(1, quoted.size() - 2);
}

/// What applies to property `name`; or, if `patterns` is not null, to a property that no schema
/// names and that matches just these.
Result<SchemaCompiler::Conjunction> SchemaCompiler::ValueOf(const Conjunction& flat,
                                                            std::string_view name,
                                                            const TextNumbers* patterns) {
  Conjunction value;
  const std::string body = Inside(name);
  for (const Part& part : flat) {
    bool is_named = false;
    if (const JsonId named = tree_.Find(part.schema, "properties"); named != kNoJson) {
      if (!tree_.IsObject(named)) return Invalid(part.schema, "properties", "is no object");
      const JsonId own = patterns == nullptr ? tree_.Find(named, name) : kNoJson;
      if (own != kNoJson) {
        value.push_back({own, 0});
        is_named = true;
      }
    }
    if (const JsonId list = tree_.Find(part.schema, "patternProperties"); list != kNoJson) {
      if (!tree_.IsObject(list)) return Invalid(part.schema, "patternProperties", "is no object");
      for (const auto& [pattern, schema] : std::span(tree_[list].members)) {
        bool matches = patterns != nullptr && patterns->Find(pattern) != nullptr;
        if (patterns == nullptr) {
          GRAFT_ASSIGN_OR_RETURN(const Expression expression, CachedPattern(schema, pattern));
          matches = pool_.Matches(expression, body);
        }
        if (!matches) continue;
        value.push_back({schema, 0});
        is_named = true;
      }
    }
    const JsonId additional = tree_.Find(part.schema, "additionalProperties");
    if (!is_named && additional != kNoJson) value.push_back({additional, 0});
  }
  return value;
}

Status SchemaCompiler::FindProperties(const Conjunction& flat, ObjectShape* shape) {
  const auto add = [&](std::string_view name) {
    bool is_new = false;
    const TextNumbers::Entry* const known =
        shape->names.Insert(name, static_cast<uint32_t>(shape->properties.size()), &is_new);
    if (is_new) shape->properties.push_back({known->first, false});
    return known->second;
  };
  for (const Part& part : flat) {
    if (const JsonId named = tree_.Find(part.schema, "properties"); named != kNoJson) {
      if (!tree_.IsObject(named)) return Invalid(part.schema, "properties", "is no object");
      for (const auto& [name, schema] : tree_[named].members) add(name);
    }
    if (const JsonId list = tree_.Find(part.schema, "patternProperties"); list != kNoJson) {
      if (!tree_.IsObject(list)) return Invalid(part.schema, "patternProperties", "is no object");
      for (const auto& [pattern, schema] : tree_[list].members) shape->patterns.Insert(pattern);
    }
  }
  for (const Part& part : flat) {
    const JsonId required = tree_.Find(part.schema, "required");
    if (required == kNoJson) continue;
    if (tree_[required].type != JsonType::kArray) {
      return Invalid(part.schema, "required", "is no array");
    }
    for (const JsonId name : tree_[required].items) {
      if (tree_[name].type != JsonType::kString) {
        return Invalid(part.schema, "required", "holds what is no string");
      }
      shape->properties[add(tree_[name].text)].is_required = true;
    }
  }
  if (shape->patterns.size() > kMaxPatterns) {
    return Unsupported(flat.front().schema, "patternProperties");
  }
  return OkStatus();
}

/// The names that propertyNames allow; kNothing stands for all.
Result<Expression> SchemaCompiler::NameBody(const Conjunction& flat) {
  FlatVector<Expression> parts;
  for (const Part& part : flat) {
    const JsonId names = tree_.Find(part.schema, "propertyNames");
    if (names == kNoJson || tree_[names].type == JsonType::kTrue) continue;
    if (tree_[names].type == JsonType::kFalse) {
      parts.push_back(pool_.Not(pool_.Not(kNothing)));
      continue;
    }
    Conjunction inner;
    GRAFT_ASSIGN_OR_RETURN(const bool may_hold, Flatten({{names, 0}}, &inner));
    if (!may_hold) parts.push_back(kNothing);
    for (const Part& each : inner) {
      if (HasOneOf(each.schema, kChoices)) return Unsupported(part.schema, "propertyNames");
      for (const char* keyword : {"enum", "const"}) {
        const JsonId list = tree_.Find(each.schema, keyword);
        if (list == kNoJson) continue;
        TextNumbers texts;
        const bool is_one = std::string_view(keyword) == "const";
        for (const JsonId value : is_one ? std::span(&list, 1) : Items(list)) {
          if (tree_[value].type == JsonType::kString) texts.Insert(Inside(tree_[value].text));
        }
        parts.push_back(pool_.AnyOf(texts));
      }
    }
    bool is_any = false;
    GRAFT_ASSIGN_OR_RETURN(const Expression body, StringBody(inner, &is_any));
    if (!is_any) parts.push_back(pool_.And(body, pool_.Repeat(key_character_, 0)));
  }
  parts.push_back(pool_.Repeat(key_character_, 0));
  return pool_.And(parts);
}

/// Adds the rule of one property that no schema names.
Status SchemaCompiler::AddAdditional(const Conjunction& flat, ObjectShape* shape) {
  GRAFT_ASSIGN_OR_RETURN(const Expression names, NameBody(flat));
  TextNumbers taken;
  for (const Property& property : shape->properties) taken.Insert(Inside(property.name));
  const Expression is_new = pool_.Not(pool_.AnyOf(taken));
  shape->additional = grammar_.NewRule();
  const Expression colon = pool_.Concat(pool_.Literal(":"), space_);
  for (size_t subset = 0; subset < size_t{1} << shape->patterns.size(); ++subset) {
    FlatVector<Expression> parts = {names, is_new};
    TextNumbers matched;
    size_t bits = subset;
    for (const auto& [pattern, number] : shape->patterns.map()) {
      GRAFT_ASSIGN_OR_RETURN(const Expression body, CachedPattern(flat.front().schema, pattern));
      const bool is_in = (bits & 1) != 0;
      bits >>= 1;
      parts.push_back(is_in ? body : pool_.Not(body));
      if (is_in) matched.Insert(pattern);
    }
    const Expression name = pool_.And(parts);
    GRAFT_ASSIGN_OR_RETURN(Conjunction value, ValueOf(flat, {}, &matched));
    const bool is_never = std::ranges::any_of(
        value, [&](const Part& part) { return tree_[part.schema].type == JsonType::kFalse; });
    const Expression key = pool_.Concat(std::array{quote_, name, quote_, colon});
    if (is_never || key == kNothing || !pool_.IsAlive(key)) continue;
    shape->has_additional = true;
    grammar_.AddWay(shape->additional,
                    {Grammar::Is(key), Grammar::Call(RuleFor(std::move(value)))});
  }
  return OkStatus();
}

Status SchemaCompiler::BuildObject(RuleId rule, const Conjunction& flat) {
  ObjectShape shape;
  GRAFT_RETURN_IF_ERROR(FindProperties(flat, &shape));
  GRAFT_ASSIGN_OR_RETURN(shape.count, ReadLimits(flat, "minProperties"sv, "maxProperties"sv));
  if (shape.count.min > shape.count.max) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const Expression names, NameBody(flat));
  for (const Property& property : shape.properties) {
    const bool is_name = pool_.Matches(names, Inside(property.name));
    Conjunction value;
    if (is_name) {
      GRAFT_ASSIGN_OR_RETURN(value, ValueOf(flat, property.name, nullptr));
      shape.values.push_back(RuleFor(std::move(value)));
    } else {
      shape.values.push_back(grammar_.NewRule());  // which nothing matches
    }
  }
  GRAFT_RETURN_IF_ERROR(AddAdditional(flat, &shape));
  // Names that no schema lists may be the same one, which readers take for one property.
  if (shape.has_additional && shape.count.min > shape.properties.size() + 1) {
    return Unsupported(flat.front().schema, "minProperties");
  }
  MemberList list;
  list.min = shape.count.min;
  list.max = shape.count.max;
  list.in_order = in_order_;
  list.comma = comma_;
  const uint32_t members = grammar_.NewMembers(list);
  for (size_t i = 0; i < shape.properties.size(); ++i) {
    const Property& property = shape.properties[i];
    const Expression key = pool_.Concat(pool_.Literal(QuoteJson(property.name) + ":"), space_);
    grammar_.AddMember(members, key, shape.values[i], property.is_required);
  }
  if (shape.has_additional) grammar_.SetOthers(members, shape.additional);
  const GrammarSymbol open = Grammar::Is(pool_.Concat(pool_.Literal("{"), space_));
  const GrammarSymbol close = Grammar::Is(pool_.Concat(space_, pool_.Literal("}")));
  grammar_.AddWay(rule, {open, Grammar::Members(members), close});
  return OkStatus();
}

}  // namespace graft::runtime
