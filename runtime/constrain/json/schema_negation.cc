// SPDX-License-Identifier: Apache-2.0
// The schema of what a schema does not allow, where that is a schema too. Keywords that begin with
// '$not' are of our own making.
#include <algorithm>
#include <array>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr size_t kMaxDepth = 12;

// What asserts, and has no negation here.
constexpr std::string_view kNoNegation =
    " oneOf if then else items prefixItems contains uniqueItems additionalItems "
    "additionalProperties propertyNames multipleOf format patternProperties dependencies "
    "dependentRequired dependentSchemas unevaluatedProperties unevaluatedItems $dynamicRef "
    "$recursiveRef minContains maxContains extends disallow ";

struct Limit {
  char keyword[17];  // characters, as of TypeName
  char opposite[17];
  uint8_t types;
  int8_t step;  // added to the limit
};
constexpr Limit kLimits[] = {{"minLength", "maxLength", kStringType, -1},
                             {"maxLength", "minLength", kStringType, 1},
                             {"minItems", "maxItems", kArrayType, -1},
                             {"maxItems", "minItems", kArrayType, 1},
                             {"minProperties", "maxProperties", kObjectType, -1},
                             {"maxProperties", "minProperties", kObjectType, 1},
                             {"minimum", "exclusiveMaximum", kIntegerType | kFractionType, 0},
                             {"maximum", "exclusiveMinimum", kIntegerType | kFractionType, 0},
                             {"exclusiveMinimum", "maximum", kIntegerType | kFractionType, 0},
                             {"exclusiveMaximum", "minimum", kIntegerType | kFractionType, 0}};

}  // namespace

void SchemaCompiler::NegateLimit(JsonId schema, std::string_view key, JsonId value,
                                 FlatVector<JsonId>* ways, bool* is_known) {
  const auto limit =
      std::ranges::find_if(kLimits, [&](const Limit& each) { return key == each.keyword; });
  if (limit == std::end(kLimits)) return;
  if (tree_[value].type != JsonType::kNumber) {
    *is_known = false;  // the booleans that exclusive... once were
    return;
  }
  JsonId opposite = value;
  if (limit->step != 0) {
    const std::string& digits = tree_[value].text;
    uint64_t number = 0;
    for (const char c : digits) {
      if (c < '0' || c > '9' || number > kUnbounded) {
        *is_known = false;
        return;
      }
      number = number * 10 + static_cast<uint64_t>(c - '0');
    }
    if (limit->step < 0 && number == 0) return;  // holds of all: its negation of nothing
    number = limit->step < 0 ? number - 1 : number + 1;
    opposite = tree_.AddString(std::to_string(number), value);
    tree_.SetNumber(opposite);
  }
  const JsonId way = TypesNode(limit->types, schema);
  tree_.AddMember(way, limit->opposite, opposite);
  ways->push_back(way);
}

void SchemaCompiler::NegateKeyword(JsonId schema, std::string_view key, JsonId value, size_t depth,
                                   FlatVector<JsonId>* ways, bool* is_known) {
  if (key == "type"sv) {
    const auto types = TypesNamed(value);
    *is_known = *is_known && types.ok();
    if (types.ok() && *types != kAllTypes) ways->push_back(TypesNode(kAllTypes & ~*types, schema));
  } else if (key == "const"sv || key == "enum"sv) {
    JsonId list = value;
    if (key == "const"sv) {
      list = tree_.Add(JsonType::kArray, value);
      tree_.AddItem(list, value);
    }
    ways->push_back(Wrap("$notEnum", list, schema));
  } else if (key == "pattern"sv) {
    const JsonId way = TypesNode(kStringType, schema);
    tree_.AddMember(way, "$notPattern", value);
    ways->push_back(way);
  } else if (key == "required"sv && tree_[value].type == JsonType::kArray) {
    for (const JsonId name : Items(value)) {
      const JsonId way = TypesNode(kObjectType, schema);
      const JsonId never = tree_.Add(JsonType::kFalse, schema);
      tree_.AddMember(way, "properties", Wrap(tree_[name].text, never, schema));
      ways->push_back(way);
    }
  } else if (key == "properties"sv && tree_.IsObject(value)) {
    for (const auto& [name, inner] : std::span(tree_[value].members)) {
      const JsonId negation = Negate(inner, depth + 1);
      if (negation == kNoJson) *is_known = false;
      if (negation == kNoJson || tree_[negation].type == JsonType::kFalse) continue;
      const JsonId way = TypesNode(kObjectType, schema);
      const JsonId names = tree_.Add(JsonType::kArray, schema);
      tree_.AddItem(names, tree_.AddString(name, schema));
      tree_.AddMember(way, "required", names);
      tree_.AddMember(way, "properties", Wrap(name, negation, schema));
      ways->push_back(way);
    }
  } else if (key == "allOf"sv || key == "anyOf"sv) {
    const JsonId list = tree_.Add(JsonType::kArray, schema);
    for (const JsonId inner : Items(value)) {
      const JsonId negation = Negate(inner, depth + 1);
      if (negation == kNoJson) {
        *is_known = false;
        return;
      }
      tree_.AddItem(list, negation);
    }
    ways->push_back(Wrap(key == "allOf"sv ? "anyOf"sv : "allOf"sv, list, schema));
  } else if (key == "not"sv) {
    ways->push_back(value);
  } else if (IsListed(key, kNoNegation) || key.starts_with("$not")) {
    *is_known = false;
  } else {
    NegateLimit(schema, key, value, ways, is_known);
  }
}

/// kNoJson if there is none.
JsonId SchemaCompiler::Negate(JsonId schema, size_t depth) {
  if (depth > kMaxDepth || tree_.size() > 4 * kMaxSchemaValues) return kNoJson;
  if (tree_.IsBool(schema)) {
    return tree_.Add(tree_[schema].type == JsonType::kTrue ? JsonType::kFalse : JsonType::kTrue,
                     schema);
  }
  if (!tree_.IsObject(schema)) return kNoJson;
  FlatVector<JsonId> ways;
  if (tree_.Find(schema, "$ref") != kNoJson) {
    const auto target = Resolve(schema);
    if (!target.ok()) return kNoJson;
    const JsonId negation = Negate(*target, depth + 1);
    if (negation == kNoJson || ignores_siblings_) return negation;
    ways.push_back(negation);
  }
  bool is_known = true;
  for (const auto& [key, value] : std::span(tree_[schema].members)) {
    NegateKeyword(schema, key, value, depth, &ways, &is_known);
    if (!is_known) return kNoJson;
  }
  if (ways.empty()) return tree_.Add(JsonType::kFalse, schema);
  if (ways.size() == 1) return ways[0];
  const JsonId any = tree_.Add(JsonType::kArray, schema);
  for (const JsonId way : ways) tree_.AddItem(any, way);
  return Wrap("anyOf", any, schema);
}

}  // namespace graft::runtime
