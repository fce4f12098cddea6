// SPDX-License-Identifier: Apache-2.0
// Values that a schema lists, held against what else it says.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"
#include "runtime/constrain/regex.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr size_t kMaxDepth = 60;

}  // namespace

uint32_t SchemaCompiler::TypeOf(JsonId value) const {
  switch (tree_[value].type) {
    case JsonType::kNull:
      return kNullType;
    case JsonType::kFalse:
    case JsonType::kTrue:
      return kBoolType;
    case JsonType::kString:
      return kStringType;
    case JsonType::kArray:
      return kArrayType;
    case JsonType::kObject:
      return kObjectType;
    case JsonType::kNumber:
      break;
  }
  const auto decimal = ReadDecimal(value);
  if (!decimal.ok()) return kFractionType;
  const size_t point = decimal->digits.find('.');
  const bool has_fraction = point != std::string::npos &&
                            decimal->digits.find_first_not_of('0', point + 1) != std::string::npos;
  return has_fraction ? kFractionType : kIntegerType;
}

bool SchemaCompiler::AreEqual(JsonId a, JsonId b) const {
  const JsonNode& one = tree_[a];
  const JsonNode& other = tree_[b];
  if (one.type != other.type) return false;
  switch (one.type) {
    case JsonType::kNumber: {
      const auto first = ReadDecimal(a);
      const auto second = ReadDecimal(b);
      return first.ok() && second.ok() ? CompareDecimals(*first, *second) == 0
                                       : one.text == other.text;
    }
    case JsonType::kString:
      return one.text == other.text;
    case JsonType::kArray:
      return one.items.size() == other.items.size() &&
             std::equal(one.items.begin(), one.items.end(), other.items.begin(),
                        [&](JsonId x, JsonId y) { return AreEqual(x, y); });
    case JsonType::kObject:
      return one.members.size() == other.members.size() &&
             std::ranges::all_of(one.members, [&](const auto& member) {
               const JsonId theirs = tree_.Find(b, member.first);
               return theirs != kNoJson && AreEqual(member.second, theirs);
             });
    default:
      return true;
  }
}

Result<bool> SchemaCompiler::AllowsByType(JsonId schema, JsonId value, size_t depth) {
  const uint32_t type = TypeOf(value);
  const Conjunction self = {{schema, 0}};
  GRAFT_ASSIGN_OR_RETURN(const uint32_t types, TypesOf(self));
  if ((types & type) == 0) return false;
  if ((type & (kIntegerType | kFractionType)) != 0) {
    GRAFT_ASSIGN_OR_RETURN(const Expression number, NumberExpression(self, type));
    GRAFT_ASSIGN_OR_RETURN(const Decimal decimal, ReadDecimal(value));
    std::string text = decimal.digits;
    if (type == kIntegerType) text.resize(std::min(text.find('.'), text.size()));
    return pool_.Matches(number, (decimal.is_negative ? "-" : "") + text);
  }
  if (type == kStringType) {
    bool is_any = false;
    GRAFT_ASSIGN_OR_RETURN(const Expression body, StringBody(self, &is_any));
    return is_any || pool_.Matches(body, Inside(tree_[value].text));
  }
  if (type == kArrayType) return AllowsArray(schema, value, depth);
  if (type == kObjectType) return AllowsObject(schema, value, depth);
  return true;
}

Result<bool> SchemaCompiler::AllowsArray(JsonId schema, JsonId value, size_t depth) {
  const Conjunction self = {{schema, 0}};
  GRAFT_ASSIGN_OR_RETURN(const Limits limits, ReadLimits(self, "minItems"sv, "maxItems"sv));
  const std::span<const JsonId> items = Items(value);
  if (items.size() < limits.min || items.size() > limits.max) return false;
  for (size_t i = 0; i < items.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const Conjunction parts, ItemAt(self, i));
    for (const Part& part : parts) {
      GRAFT_ASSIGN_OR_RETURN(const bool allows, Allows(part.schema, items[i], depth + 1));
      if (!allows) return false;
    }
  }
  return true;
}

Result<bool> SchemaCompiler::AllowsObject(JsonId schema, JsonId value, size_t depth) {
  const Conjunction self = {{schema, 0}};
  GRAFT_ASSIGN_OR_RETURN(const Limits limits,
                         ReadLimits(self, "minProperties"sv, "maxProperties"sv));
  const std::span members(tree_[value].members);
  if (members.size() < limits.min || members.size() > limits.max) return false;
  if (const JsonId required = tree_.Find(schema, "required"); required != kNoJson) {
    for (const JsonId name : tree_[required].items) {
      if (tree_.Find(value, tree_[name].text) == kNoJson) return false;
    }
  }
  for (const auto& [name, inner] : members) {
    GRAFT_ASSIGN_OR_RETURN(const Conjunction parts, ValueOf(self, name, nullptr));
    for (const Part& part : parts) {
      GRAFT_ASSIGN_OR_RETURN(const bool allows, Allows(part.schema, inner, depth + 1));
      if (!allows) return false;
    }
  }
  return true;
}

/// Whether `value` satisfies `schema`, all its choices included.
Result<bool> SchemaCompiler::Allows(JsonId schema, JsonId value, size_t depth) {
  if (depth > kMaxDepth) return Unsupported(schema, "enum");
  if (tree_.IsBool(schema)) return tree_[schema].type == JsonType::kTrue;
  if (const JsonId one = tree_.Find(schema, "const"); one != kNoJson && !AreEqual(one, value)) {
    return false;
  }
  const auto lists = [&](std::string_view keyword) {
    const JsonId list = tree_.Find(schema, keyword);
    return list != kNoJson && std::ranges::any_of(tree_[list].items, [&](JsonId item) {
             return AreEqual(item, value);
           });
  };
  if (tree_.Find(schema, "enum") != kNoJson && !lists("enum"sv)) return false;
  if (lists("$notEnum"sv)) return false;
  if (tree_.Find(schema, "$ref") != kNoJson) {
    GRAFT_ASSIGN_OR_RETURN(const JsonId target, Resolve(schema));
    GRAFT_ASSIGN_OR_RETURN(const bool allows, Allows(target, value, depth + 1));
    if (!allows || ignores_siblings_) return allows;
  }
  for (size_t choice = 0; choice < 4; ++choice) {
    constexpr char kKeywords[4][6] = {"allOf", "anyOf", "oneOf", "not"};
    const JsonId list = tree_.Find(schema, std::string_view(kKeywords[choice]));
    if (list == kNoJson) continue;
    const bool is_not = choice == 3;
    const std::span<const JsonId> items = is_not ? std::span(&list, 1) : Items(list);
    size_t count = 0;
    for (const JsonId item : items) {
      GRAFT_ASSIGN_OR_RETURN(const bool allows, Allows(item, value, depth + 1));
      if (allows) ++count;
    }
    const bool holds = is_not        ? count == 0
                       : choice == 0 ? count == items.size()
                       : choice == 1 ? count > 0
                                     : count == 1;
    if (!holds) return false;
  }
  if ((TypeOf(value) & kObjectType) != 0) {
    for (const auto& [key, asked] : tree_[schema].members) {
      if (IsListed(key, " if dependencies dependentRequired dependentSchemas ")) {
        return Unsupported(schema, key);
      }
    }
  }
  return AllowsByType(schema, value, depth);
}

/// The text of `value`, with white space where JSON is written with some.
Expression SchemaCompiler::ValueText(JsonId value) {
  const JsonNode& node = tree_[value];
  if (node.type != JsonType::kArray && node.type != JsonType::kObject) {
    return pool_.Literal(tree_.Text(value));
  }
  const bool is_array = node.type == JsonType::kArray;
  FlatVector<Expression> parts = {pool_.Literal(is_array ? "[" : "{")};
  const auto separate = [&](size_t i) { parts.push_back(i == 0 ? space_ : comma_); };
  for (size_t i = 0; i < node.items.size(); ++i) {
    separate(i);
    parts.push_back(ValueText(tree_[value].items[i]));
  }
  for (size_t i = 0; i < node.members.size(); ++i) {
    separate(i);
    parts.push_back(pool_.Literal(QuoteJson(tree_[value].members[i].first) + ":"));
    parts.push_back(space_);
    parts.push_back(ValueText(tree_[value].members[i].second));
  }
  parts.push_back(space_);
  parts.push_back(pool_.Literal(is_array ? "]" : "}"));
  return pool_.Concat(parts);
}

/// The values that the shortest list of an enum or a const has, and all of `flat` allows. False:
/// there is no list.
Result<bool> SchemaCompiler::ListValues(const Conjunction& flat, FlatVector<JsonId>* allowed) {
  bool has_list = false;
  FlatVector<JsonId> values;
  for (const Part& part : flat) {
    if (const JsonId one = tree_.Find(part.schema, "const"); one != kNoJson) {
      has_list = true;
      values = {one};
      break;
    }
    const JsonId some = tree_.Find(part.schema, "enum");
    if (some == kNoJson) continue;
    if (tree_[some].type != JsonType::kArray) return Invalid(part.schema, "enum", "is no array");
    if (!has_list || tree_[some].items.size() < values.size())
      values = FlatVector<JsonId>(Items(some));
    has_list = true;
  }
  for (const JsonId value : values) {
    bool is_allowed = true;
    for (size_t i = 0; i < flat.size() && is_allowed; ++i) {
      // A lone list says itself what it allows.
      const auto& members = tree_[flat[i].schema].members;
      if (members.size() == 1 && flat.size() == 1) break;
      GRAFT_ASSIGN_OR_RETURN(is_allowed, AllowsOwn(flat[i].schema, value));
    }
    if (is_allowed) allowed->push_back(value);
  }
  return has_list;
}

Status SchemaCompiler::BuildValues(RuleId rule, const Conjunction& flat) {
  FlatVector<JsonId> values;
  GRAFT_ASSIGN_OR_RETURN(const bool is_listed, ListValues(flat, &values));
  TextNumbers texts;
  FlatVector<Expression> ways;
  for (const JsonId value : values) {
    const JsonType type = tree_[value].type;
    if (type == JsonType::kArray || type == JsonType::kObject) {
      ways.push_back(ValueText(value));
    } else {
      texts.Insert(tree_.Text(value));
    }
  }
  ways.push_back(pool_.AnyOf(texts));
  const Expression all = pool_.Or(ways);
  if (is_listed && all != kNothing) grammar_.AddWay(rule, Grammar::Is(all));
  return OkStatus();
}

/// As Allows, without what has been made a choice of already.
Result<bool> SchemaCompiler::AllowsOwn(JsonId schema, JsonId value) {
  const auto lists = [&](std::string_view keyword) {
    const JsonId list = tree_.Find(schema, keyword);
    return list != kNoJson && std::ranges::any_of(tree_[list].items, [&](JsonId item) {
             return AreEqual(item, value);
           });
  };
  if (const JsonId one = tree_.Find(schema, "const"); one != kNoJson && !AreEqual(one, value)) {
    return false;
  }
  if (tree_.Find(schema, "enum") != kNoJson && !lists("enum"sv)) return false;
  if (lists("$notEnum"sv)) return false;
  return AllowsByType(schema, value, 0);
}

}  // namespace graft::runtime
