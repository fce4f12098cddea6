// SPDX-License-Identifier: Apache-2.0
// SchemaCompiler: a JSON Schema to a grammar of the JSON texts that it allows.
//
// What is compiled is a conjunction: schemas that all apply to one value. References and allOf add
// to it, and the subschemas of properties and items of all its parts come together again. A choice
// (anyOf and what can be written as one) becomes ways of a rule.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/constrain/characters.h"
#include "runtime/constrain/grammar.h"
#include "runtime/constrain/json/json_tree.h"
#include "schema/result.h"

namespace graft::runtime {

/// The types of values, as bits. A number is an integer or has a fraction.
enum : uint32_t {
  kNullType = 1,
  kBoolType = 2,
  kIntegerType = 4,
  kFractionType = 8,
  kStringType = 16,
  kArrayType = 32,
  kObjectType = 64,
  kAllTypes = 127,
};

class SchemaCompiler {
 public:
  SchemaCompiler(JsonTree tree, bool in_order, Grammar* grammar);

  /// Errors   kInvalidArgument: no schema, or one that nothing satisfies;
  ///          kUnsupported: a keyword that is not supported, and where it stands.
  Status Compile();
  /// The rule of the values that the schema at `schema` allows. The grammar is not finished.
  /// Errors   as Compile.
  Result<RuleId> CompileAt(JsonId schema);

 private:
  /// A schema, and which of its choices have been made.
  struct Part {
    JsonId schema;
    uint32_t made = 0;  ///< kMade... bits
    auto operator<=>(const Part&) const = default;
  };
  using Conjunction = std::vector<Part>;
  enum : uint32_t {
    kMadeAnyOf = 1,
    kMadeOneOf = 2,
    kMadeNot = 4,
    kMadeIf = 8,
    kMadeDependencies = 16,
    kMadeReferences = 32
  };
  struct Property {
    std::string name;
    bool is_required = false;
  };
  struct Limits {
    uint32_t min = 0;
    uint32_t max = kUnbounded;
  };
  /// A decimal number: sign, and digits without an exponent.
  struct Decimal {
    bool is_negative = false;
    std::string digits;
    bool IsZero() const { return digits.find_first_not_of("0.") == std::string::npos; }
  };
  struct ObjectShape {
    std::vector<Property> properties;
    std::vector<RuleId> values;
    std::vector<std::string> patterns;
    Limits count;
    RuleId additional = 0;
    bool has_additional = false;
  };

  // schema_rules.cc
  RuleId RuleFor(Conjunction conjunction);
  RuleId RuleFor(JsonId schema) { return RuleFor(Conjunction{{schema, 0}}); }
  Status Build(RuleId rule, const Conjunction& conjunction);
  Result<bool> Flatten(const Conjunction& conjunction, Conjunction* flat);
  Result<JsonId> Resolve(JsonId reference) const;
  Status CheckKeywords(JsonId schema) const;
  Result<bool> BuildChoice(RuleId rule, const Conjunction& flat);
  Status BuildAnyOf(RuleId rule, const Conjunction& flat, size_t part);
  Status BuildPlain(RuleId rule, const Conjunction& flat);
  Result<uint32_t> TypesOf(const Conjunction& flat) const;
  Result<uint32_t> TypesNamed(JsonId type) const;
  Status Unsupported(JsonId schema, std::string_view keyword) const;
  Status Invalid(JsonId schema, std::string_view keyword, const char* what) const;
  Result<Limits> ReadLimits(const Conjunction& flat, std::string_view min, std::string_view max);

  // schema_choices.cc: choices written as anyOf
  Result<JsonId> OneOfAsAnyOf(JsonId schema);
  Result<JsonId> IfAsAnyOf(JsonId schema);
  Result<JsonId> DependenciesAsAllOf(JsonId schema);
  bool AreDisjoint(JsonId a, JsonId b, size_t depth);
  bool ExcludeByProperty(JsonId a, JsonId b, size_t depth);
  JsonId TypesNode(uint32_t types, JsonId near);
  JsonId Wrap(const std::string& keyword, JsonId value, JsonId near);

  // schema_negation.cc
  JsonId Negate(JsonId schema, size_t depth);
  void NegateKeyword(JsonId schema, const std::string& key, JsonId value, size_t depth,
                     std::vector<JsonId>* ways, bool* is_known);
  void NegateLimit(JsonId schema, std::string_view key, JsonId value, std::vector<JsonId>* ways,
                   bool* is_known);

  // schema_values.cc
  Status BuildValues(RuleId rule, const Conjunction& flat);
  Result<bool> ListValues(const Conjunction& flat, std::vector<JsonId>* allowed);
  Result<bool> Allows(JsonId schema, JsonId value, size_t depth);
  Result<bool> AllowsOwn(JsonId schema, JsonId value);
  Result<bool> AllowsByType(JsonId schema, JsonId value, size_t depth);
  Result<bool> AllowsObject(JsonId schema, JsonId value, size_t depth);
  Result<bool> AllowsArray(JsonId schema, JsonId value, size_t depth);
  bool AreEqual(JsonId a, JsonId b) const;
  uint32_t TypeOf(JsonId value) const;
  Expression ValueText(JsonId value);

  // schema_numbers.cc
  Status BuildNumber(RuleId rule, const Conjunction& flat, uint32_t types);
  Result<Expression> NumberExpression(const Conjunction& flat, uint32_t types);
  Result<Decimal> ReadDecimal(JsonId number) const;
  static int CompareDecimals(const Decimal& a, const Decimal& b);
  Status AddBound(const Decimal& bound, bool is_lower, bool is_exclusive,
                  std::vector<Expression>* positive, std::vector<Expression>* negative);
  Status AddExcluded(JsonId schema, std::vector<Expression>* positive,
                     std::vector<Expression>* negative);
  Status AddMultiple(JsonId schema, JsonId divisor, std::vector<Expression>* both);

  // schema_strings.cc
  Status BuildString(RuleId rule, const Conjunction& flat);
  /// What stands between the quotes; *is_any if nothing limits it.
  Result<Expression> StringBody(const Conjunction& flat, bool* is_any);
  Result<Expression> FormatBody(JsonId schema, JsonId format, bool* is_known);
  Result<Expression> PatternBody(JsonId schema, JsonId pattern);

  // schema_arrays.cc
  Status BuildArray(RuleId rule, const Conjunction& flat);
  Status BuildUnique(RuleId rule, const Conjunction& flat, const Limits& limits);
  Result<Conjunction> ItemAt(const Conjunction& flat, size_t index) const;
  size_t PrefixCount(const Conjunction& flat) const;

  // schema_objects.cc
  Status BuildObject(RuleId rule, const Conjunction& flat);
  Status FindProperties(const Conjunction& flat, ObjectShape* shape);
  Result<Conjunction> ValueOf(const Conjunction& flat, const std::string& name,
                              const std::set<std::string>* patterns);
  Status AddAdditional(const Conjunction& flat, ObjectShape* shape);
  Result<Expression> NameBody(const Conjunction& flat);
  Result<bool> AllowsName(const Conjunction& flat, const std::string& name);
  Result<Expression> CachedPattern(JsonId schema, const std::string& pattern);

  JsonTree tree_;
  Grammar& grammar_;
  ExpressionPool& pool_;
  bool in_order_;
  bool ignores_siblings_ = false;  // of $ref, as drafts before 2019-09 do
  std::map<Conjunction, RuleId> rules_;
  std::vector<std::pair<RuleId, Conjunction>> work_;
  std::map<std::string, Expression, std::less<>> pattern_bodies_;
  std::map<JsonId, JsonId> rewritten_[3];  // oneOf, if, dependencies

  // Shared pieces.
  Expression space_;
  Expression quote_;
  Expression comma_;
  Expression any_character_;  // in any spelling
  Expression key_character_;  // in one spelling
};

}  // namespace graft::runtime
