// SPDX-License-Identifier: Apache-2.0
// What applies to one value, and the choices within it.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
namespace {

constexpr size_t kMaxRules = 60000;
constexpr size_t kMaxParts = 2000;      // of one conjunction
constexpr size_t kMostCompared = 1000;  // ways of one choice, two by two

// Assertions that no grammar of ours expresses. Those of arrays are refused where an array is.
constexpr std::string_view kUnsupported =
    " $dynamicRef $recursiveRef unevaluatedProperties unevaluatedItems extends disallow "
    "divisibleBy ";

}  // namespace

bool IsListed(std::string_view word, std::string_view list) {
  if (word.empty() || word.find(' ') != std::string_view::npos) return false;
  for (size_t at = list.find(word); at != std::string_view::npos; at = list.find(word, at + 1)) {
    if (list[at - 1] == ' ' && list[at + word.size()] == ' ') return true;
  }
  return false;
}

SchemaCompiler::SchemaCompiler(JsonTree tree, bool in_order, Grammar* grammar)
    : tree_(std::move(tree)), grammar_(*grammar), pool_(grammar->pool()), in_order_(in_order) {
  ByteSet indent;
  indent.Add(' ');
  indent.Add('\t');
  const Expression line =
      pool_.Concat(pool_.Literal("\n"), pool_.Repeat(pool_.Bytes(indent), 0, 64));
  space_ = pool_.Or(std::array{kEmpty, pool_.Literal(" "), line});
  quote_ = pool_.Literal("\"");
  comma_ = pool_.Concat(pool_.Literal(","), space_);
  any_character_ = MakeAnyJsonCharacter(&pool_);
  key_character_ = MakeAnyCharacter(&pool_, Spelling::kJson);
}

Status SchemaCompiler::Unsupported(JsonId schema, std::string_view keyword) const {
  return Error(StatusCode::kUnsupported, "the schema's '%.*s' at %s is not supported",
               static_cast<int>(keyword.size()), keyword.data(), tree_.Place(schema).c_str());
}

Status SchemaCompiler::Invalid(JsonId schema, std::string_view keyword, const char* what) const {
  return Error(StatusCode::kInvalidArgument, "the schema's '%.*s' at %s %s",
               static_cast<int>(keyword.size()), keyword.data(), tree_.Place(schema).c_str(), what);
}

Status SchemaCompiler::Compile() {
  GRAFT_ASSIGN_OR_RETURN(const RuleId start, CompileAt(0));
  return grammar_.Finish(start);
}

Result<RuleId> SchemaCompiler::CompileAt(JsonId schema) {
  if (!tree_.IsObject(schema) && !tree_.IsBool(schema)) {
    return Status(StatusCode::kInvalidArgument, "the schema is neither an object nor a boolean");
  }
  if (const JsonId dialect = tree_.Find(0, "$schema"); dialect != kNoJson) {
    const std::string& name = tree_[dialect].text;
    const size_t draft = name.find("draft-0");
    ignores_siblings_ = draft != std::string::npos &&
                        std::string_view("3467").find(name[draft + 7]) != std::string_view::npos;
  }
  const RuleId start = RuleFor(schema);
  while (!work_.empty()) {
    Conjunction conjunction;
    conjunction.AppendBytes(work_.back()->first);
    const RuleId rule = work_.back()->second;
    work_.pop_back();
    GRAFT_RETURN_IF_ERROR(Build(rule, conjunction));
    if (grammar_.overflowed() || rules_.size() > kMaxRules || tree_.size() > 4 * kMaxSchemaValues) {
      return Error(StatusCode::kInvalidArgument,
                   "the schema is too large: it comes to more than %zu rules at %s", kMaxRules,
                   conjunction.empty() ? "#" : tree_.Place(conjunction.front().schema).c_str());
    }
  }
  return start;
}

RuleId SchemaCompiler::RuleFor(Conjunction conjunction) {
  // The order stays: it is that of properties.
  TextNumbers seen;
  EraseIf(&conjunction, [&](const Part& part) {
    const JsonNode& node = tree_[part.schema];
    if (!seen.Insert(part.key())) return true;
    return node.type == JsonType::kTrue || (node.type == JsonType::kObject && node.members.empty());
  });
  bool is_new = false;
  TextNumbers::Entry* const rule =
      rules_.Insert(KeyOf(std::span<const Part>(conjunction)), 0, &is_new);
  if (is_new) {
    rule->second = grammar_.NewRule();
    work_.push_back(rule);
  }
  return rule->second;
}

Result<JsonId> SchemaCompiler::Resolve(JsonId reference) const {
  const JsonId ref = tree_.Find(reference, "$ref");
  if (tree_[ref].type != JsonType::kString) return Invalid(reference, "$ref", "is no string");
  std::string_view target = tree_[ref].text;
  if (const JsonId id = tree_.Find(0, "$id"); id != kNoJson && !target.starts_with('#')) {
    const std::string& own = tree_[id].text;
    if (!own.empty() && target.starts_with(own)) target.remove_prefix(own.size());
    if (target.empty()) return JsonId{0};
  }
  if (target == "#") return JsonId{0};
  if (target.starts_with("#/")) {
    const JsonId found = tree_.At(target.substr(1));
    if (found != kNoJson && (tree_.IsObject(found) || tree_.IsBool(found))) return found;
  } else if (target.starts_with('#')) {
    for (JsonId id = 0; id < tree_.size(); ++id) {
      if (!tree_.IsObject(id)) continue;
      for (const char* key : {"$anchor", "$id", "id"}) {
        const JsonId anchor = tree_.Find(id, key);
        if (anchor == kNoJson || tree_[anchor].type != JsonType::kString) continue;
        const std::string& name = tree_[anchor].text;
        if (name == target || (std::string_view(key) == "$anchor" && name == target.substr(1))) {
          return id;
        }
      }
    }
  } else {
    return Error(StatusCode::kUnsupported,
                 "the schema's '$ref' at %s leads outside of the schema, to %.100s",
                 tree_.Place(reference).c_str(), tree_[ref].text.c_str());
  }
  return Error(StatusCode::kInvalidArgument, "the schema's '$ref' at %s leads nowhere: %.100s",
               tree_.Place(reference).c_str(), tree_[ref].text.c_str());
}

bool SchemaCompiler::HasOneOf(JsonId schema, std::string_view list) const {
  return std::ranges::any_of(tree_[schema].members,
                             [&](const auto& member) { return IsListed(member.first, list); });
}

/// References and allOf followed. False: nothing satisfies it.
Result<bool> SchemaCompiler::Flatten(const Conjunction& conjunction, Conjunction* flat) {
  Conjunction open;
  for (size_t i = conjunction.size(); i-- > 0;) open.push_back(conjunction[i]);
  TextNumbers seen;
  while (!open.empty()) {
    Part part = open.back();
    open.pop_back();
    if (!seen.Insert(part.key())) continue;
    if (seen.size() > kMaxParts) {
      return Error(StatusCode::kInvalidArgument, "more than %zu schemas apply to one value at %s",
                   kMaxParts, tree_.Place(part.schema).c_str());
    }
    const JsonNode& node = tree_[part.schema];
    if (node.type == JsonType::kFalse) return false;
    if (node.type == JsonType::kTrue) continue;
    if (node.type != JsonType::kObject) {
      return Error(StatusCode::kInvalidArgument, "no schema stands at %s",
                   tree_.Place(part.schema).c_str());
    }
    if ((part.made & kMadeReferences) == 0) {
      part.made |= kMadeReferences;
      bool counts = true;  // whether anything but the reference does
      if (tree_.Find(part.schema, "$ref") != kNoJson) {
        GRAFT_ASSIGN_OR_RETURN(const JsonId target, Resolve(part.schema));
        open.push_back({target, 0});
        counts = !ignores_siblings_;
      }
      const JsonId all = counts ? tree_.Find(part.schema, "allOf") : kNoJson;
      if (all != kNoJson) {
        if (tree_[all].type != JsonType::kArray)
          return Invalid(part.schema, "allOf", "is no array");
        const std::span<const JsonId> items = Items(all);
        for (size_t i = items.size(); i-- > 0;) open.push_back({items[i], 0});
      }
      if (counts) open.push_back(part);  // its own properties come first
      continue;
    }
    for (const auto& [key, value] : node.members) {
      if (IsListed(key, kUnsupported) && tree_[value].type != JsonType::kTrue) {
        return Unsupported(part.schema, key);
      }
    }
    flat->push_back(part);
  }
  return true;
}

Status SchemaCompiler::Build(RuleId rule, const Conjunction& conjunction) {
  Conjunction flat;
  GRAFT_ASSIGN_OR_RETURN(const bool may_hold, Flatten(conjunction, &flat));
  if (!may_hold) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const bool was_choice, BuildChoice(rule, flat));
  if (was_choice) return OkStatus();
  return BuildPlain(rule, flat);
}

/// Makes the first choice that is open: the rule gets a way for each of its outcomes.
Result<bool> SchemaCompiler::BuildChoice(RuleId rule, const Conjunction& flat) {
  for (size_t i = 0; i < flat.size(); ++i) {
    const JsonId schema = flat[i].schema;
    const uint32_t made = flat[i].made;
    const auto has = [&](uint32_t bit, std::string_view keyword) {
      return (made & bit) == 0 && tree_.Find(schema, keyword) != kNoJson;
    };
    JsonId instead = kNoJson;
    uint32_t bit = 0;
    if (has(kMadeNot, "not"sv)) {
      bit = kMadeNot;
      instead = Negate(tree_.Find(schema, "not"), 0);
      if (instead == kNoJson) return Unsupported(schema, "not");
    } else if (has(kMadeDependencies, "dependencies"sv) ||
               has(kMadeDependencies, "dependentRequired"sv) ||
               has(kMadeDependencies, "dependentSchemas"sv)) {
      bit = kMadeDependencies;
      GRAFT_ASSIGN_OR_RETURN(instead, DependenciesAsAllOf(schema));
    } else if (has(kMadeIf, "if"sv)) {
      bit = kMadeIf;
      GRAFT_ASSIGN_OR_RETURN(instead, IfAsAnyOf(schema));
    } else if (has(kMadeOneOf, "oneOf"sv)) {
      bit = kMadeOneOf;
      GRAFT_ASSIGN_OR_RETURN(instead, OneOfAsAnyOf(schema));
    } else if (has(kMadeAnyOf, "anyOf"sv)) {
      GRAFT_RETURN_IF_ERROR(BuildAnyOf(rule, flat, i));
      return true;
    } else {
      continue;
    }
    Conjunction rest = flat;
    rest[i].made |= bit;
    rest.push_back({instead, 0});
    grammar_.AddWay(rule, Grammar::Call(RuleFor(std::move(rest))));
    return true;
  }
  return false;
}

Status SchemaCompiler::BuildAnyOf(RuleId rule, const Conjunction& flat, size_t part) {
  const JsonId any = tree_.Find(flat[part].schema, "anyOf");
  if (tree_[any].type != JsonType::kArray) {
    return Invalid(flat[part].schema, "anyOf", "is no array");
  }
  // Each is held against all the others, by way of the schema that lists them.
  const bool are_compared = Items(any).size() <= kMostCompared;
  for (const JsonId way : Items(any)) {
    bool is_disjoint = false;
    for (const Part& other : flat) {
      is_disjoint = is_disjoint || (are_compared && AreDisjoint(other.schema, way, 2));
    }
    if (is_disjoint) continue;
    Conjunction rest = flat;
    rest[part].made |= kMadeAnyOf;
    rest.push_back({way, 0});
    grammar_.AddWay(rule, Grammar::Call(RuleFor(std::move(rest))));
  }
  return OkStatus();
}

Result<uint32_t> SchemaCompiler::TypesNamed(JsonId type) const {
  const JsonNode& node = tree_[type];
  if (node.type == JsonType::kArray) {
    uint32_t types = 0;
    for (const JsonId item : node.items) {
      if (tree_[item].type != JsonType::kString) return Unsupported(type, "type");
      GRAFT_ASSIGN_OR_RETURN(const uint32_t named, TypesNamed(item));
      types |= named;
    }
    return types;
  }
  for (const TypeName& type_name : kTypeNames) {
    if (node.type == JsonType::kString && node.text == type_name.name) return type_name.types;
  }
  return Error(StatusCode::kInvalidArgument, "the schema's type at %s is none of JSON's",
               tree_.Place(type).c_str());
}

Result<uint32_t> SchemaCompiler::TypesOf(const Conjunction& flat) const {
  uint32_t types = kAllTypes;
  for (const Part& part : flat) {
    const JsonId type = tree_.Find(part.schema, "type");
    if (type == kNoJson) continue;
    GRAFT_ASSIGN_OR_RETURN(const uint32_t named, TypesNamed(type));
    types &= named;
  }
  return types;
}

Status SchemaCompiler::BuildPlain(RuleId rule, const Conjunction& flat) {
  for (const Part& part : flat) {
    if (tree_.Find(part.schema, "enum") != kNoJson || tree_.Find(part.schema, "const") != kNoJson) {
      return BuildValues(rule, flat);
    }
  }
  GRAFT_ASSIGN_OR_RETURN(uint32_t types, TypesOf(flat));
  for (const Part& part : flat) {  // null, true and false are values of their own
    const JsonId excluded = tree_.Find(part.schema, "$notEnum");
    if (excluded == kNoJson) continue;
    for (const JsonId value : tree_[excluded].items) {
      if (tree_[value].type == JsonType::kNull) types &= ~kNullType;
      const bool is_compound =
          tree_[value].type == JsonType::kArray || tree_[value].type == JsonType::kObject;
      if (is_compound && (types & TypeOf(value)) != 0) return Unsupported(value, "not");
    }
  }
  if ((types & kNullType) != 0) grammar_.AddWay(rule, Grammar::Is(pool_.Literal("null")));
  if ((types & kBoolType) != 0) {
    for (const JsonType type : {JsonType::kTrue, JsonType::kFalse}) {
      const bool is_excluded = std::ranges::any_of(flat, [&](const Part& part) {
        const JsonId excluded = tree_.Find(part.schema, "$notEnum");
        return excluded != kNoJson && std::ranges::any_of(tree_[excluded].items, [&](JsonId value) {
                 return tree_[value].type == type;
               });
      });
      if (is_excluded) continue;
      grammar_.AddWay(rule, Grammar::Is(pool_.Literal(type == JsonType::kTrue ? "true" : "false")));
    }
  }
  if ((types & (kIntegerType | kFractionType)) != 0) {
    GRAFT_RETURN_IF_ERROR(BuildNumber(rule, flat, types));
  }
  if ((types & kStringType) != 0) GRAFT_RETURN_IF_ERROR(BuildString(rule, flat));
  if ((types & kArrayType) != 0) GRAFT_RETURN_IF_ERROR(BuildArray(rule, flat));
  if ((types & kObjectType) != 0) GRAFT_RETURN_IF_ERROR(BuildObject(rule, flat));
  return OkStatus();
}

Result<SchemaCompiler::Limits> SchemaCompiler::ReadLimits(const Conjunction& flat,
                                                          std::string_view min,
                                                          std::string_view max) {
  Limits limits;
  for (const Part& part : flat) {
    for (const bool is_max : {false, true}) {
      const std::string_view keyword = is_max ? max : min;
      const JsonId value = tree_.Find(part.schema, keyword);
      if (value == kNoJson) continue;
      if (tree_[value].type != JsonType::kNumber) {
        return Invalid(part.schema, keyword, "is no number");
      }
      GRAFT_ASSIGN_OR_RETURN(const Decimal decimal, ReadDecimal(value));
      if (decimal.is_negative && !decimal.IsZero()) {
        if (!is_max) continue;
        limits.max = 0;  // which nothing satisfies
        limits.min = std::max<uint32_t>(limits.min, 1);
        continue;
      }
      const size_t whole = std::min(decimal.digits.find('.'), decimal.digits.size());
      uint64_t number = 0;
      for (size_t i = 0; i < whole && number < kUnbounded; ++i) {
        number = number * 10 + static_cast<uint64_t>(decimal.digits[i] - '0');
      }
      if (is_max) {
        if (number < limits.max) limits.max = static_cast<uint32_t>(number);
      } else if (number >= kUnbounded) {
        return Invalid(part.schema, keyword, "is more than 4294967294");
      } else {
        limits.min = std::max(limits.min, static_cast<uint32_t>(number));
      }
    }
  }
  return limits;
}

}  // namespace graft::runtime
