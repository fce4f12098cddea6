// SPDX-License-Identifier: Apache-2.0
// oneOf, if and dependencies, written as anyOf and allOf of schemas.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

JsonId SchemaCompiler::Wrap(std::string_view keyword, JsonId value, JsonId near) {
  const std::string own(keyword);  // it may be a text of the tree, which moves
  const JsonId object = tree_.Add(JsonType::kObject, near);
  tree_.AddMember(object, own, value);
  return object;
}

JsonId SchemaCompiler::TypesNode(uint32_t types, JsonId near) {
  const JsonId list = tree_.Add(JsonType::kArray, near);
  if ((types & kIntegerType) != 0 && (types & kFractionType) != 0) {
    tree_.AddItem(list, tree_.AddString("number", near));
    types &= ~uint32_t{kIntegerType | kFractionType};
  }
  for (const TypeName& type : std::span(kTypeNames, kSingleTypes)) {
    if ((types & type.types) != 0) tree_.AddItem(list, tree_.AddString(type.name, near));
  }
  return Wrap("type", list, near);
}

/// Whether it is plain to see that no value satisfies both.
bool SchemaCompiler::AreDisjoint(JsonId a, JsonId b, size_t depth) {
  for (JsonId* side : {&a, &b}) {
    for (size_t hops = 0; hops < 8 && tree_.Find(*side, "$ref") != kNoJson; ++hops) {
      const auto target = Resolve(*side);
      if (!target.ok()) return false;
      *side = *target;
    }
    if (tree_[*side].type == JsonType::kFalse) return true;
    if (tree_[*side].type != JsonType::kObject) return false;
  }
  if (depth > 0) {
    for (const auto& [whole, other] : {std::pair(a, b), std::pair(b, a)}) {
      if (const JsonId all = tree_.Find(whole, "allOf"); all != kNoJson) {
        for (const JsonId item : Items(all)) {
          if (AreDisjoint(item, other, depth - 1)) return true;
        }
      }
    }
  }
  const auto values = [&](JsonId schema, FlatVector<JsonId>* list) {
    if (const JsonId one = tree_.Find(schema, "const"); one != kNoJson) list->push_back(one);
    if (const JsonId some = tree_.Find(schema, "enum"); some != kNoJson && list->empty()) {
      list->Append(Items(some));
    }
    return !list->empty();
  };
  for (const auto& [listed, other] : {std::pair(a, b), std::pair(b, a)}) {
    FlatVector<JsonId> list;
    if (!values(listed, &list) || list.size() > 200) continue;
    bool is_shared = false;
    for (const JsonId value : list) {
      const auto allows = Allows(other, value, 0);
      is_shared = is_shared || !allows.ok() || *allows;
    }
    if (!is_shared) return true;
  }
  const auto types_of = [&](JsonId schema) -> uint32_t {
    const auto types = TypesOf({{schema, 0}});
    return types.ok() ? *types : uint32_t{kAllTypes};
  };
  const uint32_t types = types_of(a) & types_of(b);
  if (types == 0) return true;
  return types == kObjectType && depth > 0 && ExcludeByProperty(a, b, depth);
}

/// Whether a property that one of two schemas of objects requires cannot be what the other says.
bool SchemaCompiler::ExcludeByProperty(JsonId a, JsonId b, size_t depth) {
  for (const auto& [one, other] : {std::pair(a, b), std::pair(b, a)}) {
    const JsonId required = tree_.Find(one, "required");
    const JsonId properties = tree_.Find(other, "properties");
    if (required == kNoJson || tree_[required].type != JsonType::kArray) continue;
    const JsonId additional = tree_.Find(other, "additionalProperties");
    const bool is_closed = additional != kNoJson && tree_[additional].type == JsonType::kFalse &&
                           tree_.Find(other, "patternProperties") == kNoJson;
    for (const JsonId name : Items(required)) {
      const JsonId theirs =
          properties == kNoJson ? kNoJson : tree_.Find(properties, tree_[name].text);
      if (theirs == kNoJson) {
        if (is_closed) return true;
        continue;
      }
      const JsonId own = tree_.Find(one, "properties");
      const JsonId ours = own == kNoJson ? kNoJson : tree_.Find(own, tree_[name].text);
      if (tree_[theirs].type == JsonType::kFalse) return true;
      if (ours != kNoJson && AreDisjoint(ours, theirs, depth - 1)) return true;
    }
  }
  return false;
}

JsonId SchemaCompiler::Rewritten(const Part& part, JsonId instead) {
  bool is_new = false;
  return rewritten_.Insert(part.key(), instead, &is_new)->second;
}

/// Each of the schemas, with the negation of those others that may hold at the same time.
Result<JsonId> SchemaCompiler::OneOfAsAnyOf(JsonId schema) {
  const Part place = {schema, kMadeOneOf};
  if (const uint32_t* const known = rewritten_.Find(place.key()); known != nullptr) return *known;
  const JsonId one = tree_.Find(schema, "oneOf");
  if (tree_[one].type != JsonType::kArray) return Invalid(schema, "oneOf", "is no array");
  const std::span<const JsonId> items = Items(one);
  if (items.size() > 300) return Unsupported(schema, "oneOf");
  const JsonId any = tree_.Add(JsonType::kArray, schema);
  for (const JsonId item : items) {
    const JsonId all = tree_.Add(JsonType::kArray, item);
    tree_.AddItem(all, item);
    for (const JsonId other : items) {
      if (other == item || AreDisjoint(item, other, 4)) continue;
      const JsonId negation = Negate(other, 0);
      if (negation == kNoJson) {
        return Error(StatusCode::kUnsupported,
                     "the schema's 'oneOf' at %s is not supported: %s and %s may both hold",
                     tree_.Place(schema).c_str(), tree_.Place(item).c_str(),
                     tree_.Place(other).c_str());
      }
      tree_.AddItem(all, negation);
    }
    tree_.AddItem(any, tree_[all].items.size() == 1 ? item : Wrap("allOf", all, item));
  }
  return Rewritten(place, Wrap("anyOf", any, schema));
}

Result<JsonId> SchemaCompiler::IfAsAnyOf(JsonId schema) {
  const Part place = {schema, kMadeIf};
  if (const uint32_t* const known = rewritten_.Find(place.key()); known != nullptr) return *known;
  const JsonId condition = tree_.Find(schema, "if");
  const JsonId negation = Negate(condition, 0);
  if (negation == kNoJson) return Unsupported(schema, "if");
  const JsonId any = tree_.Add(JsonType::kArray, schema);
  for (const auto& [keyword, holds] : {std::pair("then", condition), std::pair("else", negation)}) {
    const JsonId all = tree_.Add(JsonType::kArray, schema);
    tree_.AddItem(all, holds);
    if (const JsonId then = tree_.Find(schema, keyword); then != kNoJson) tree_.AddItem(all, then);
    tree_.AddItem(any, Wrap("allOf", all, schema));
  }
  return Rewritten(place, Wrap("anyOf", any, schema));
}

/// Each dependency: its property is absent, or what it asks for holds.
Result<JsonId> SchemaCompiler::DependenciesAsAllOf(JsonId schema) {
  const Part place = {schema, kMadeDependencies};
  if (const uint32_t* const known = rewritten_.Find(place.key()); known != nullptr) return *known;
  const JsonId all = tree_.Add(JsonType::kArray, schema);
  for (const char* keyword : {"dependencies", "dependentRequired", "dependentSchemas"}) {
    const JsonId list = tree_.Find(schema, keyword);
    if (list == kNoJson) continue;
    if (tree_[list].type != JsonType::kObject) return Invalid(schema, keyword, "is no object");
    for (const auto& [name, asked] : std::span(tree_[list].members)) {
      JsonId wanted = asked;
      if (tree_[asked].type == JsonType::kArray) wanted = Wrap("required", asked, asked);
      if (tree_[asked].type == JsonType::kString) {
        const JsonId names = tree_.Add(JsonType::kArray, asked);
        tree_.AddItem(names, asked);
        wanted = Wrap("required", names, asked);
      }
      const JsonId any = tree_.Add(JsonType::kArray, asked);
      const JsonId never = tree_.Add(JsonType::kFalse, asked);
      tree_.AddItem(any, Wrap("properties", Wrap(name, never, asked), asked));
      const JsonId names = tree_.Add(JsonType::kArray, asked);
      tree_.AddItem(names, tree_.AddString(name, asked));
      const JsonId both = tree_.Add(JsonType::kArray, asked);
      tree_.AddItem(both, TypesNode(kObjectType, asked));
      tree_.AddItem(both, Wrap("required", names, asked));
      tree_.AddItem(both, wanted);
      tree_.AddItem(any, Wrap("allOf", both, asked));
      tree_.AddItem(all, Wrap("anyOf", any, asked));
    }
  }
  return Rewritten(place, Wrap("allOf", all, schema));
}

}  // namespace graft::runtime
