// SPDX-License-Identifier: Apache-2.0
// SchemaCompiler: a JSON Schema to a grammar of the JSON texts that it allows.
//
// What is compiled is a conjunction: schemas that all apply to one value. References and allOf add
// to it, and the subschemas of properties and items of all its parts come together again. A choice
// (anyOf and what can be written as one) becomes ways of a rule.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/base/text_numbers.h"
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

/// The types' names, those of single types first. Characters, not pointers, which the linker would
/// have to note.
struct TypeName {
  char name[10];
  uint8_t types;
};
inline constexpr TypeName kTypeNames[] = {{"null", kNullType},
                                          {"boolean", kBoolType},
                                          {"integer", kIntegerType},
                                          {"string", kStringType},
                                          {"array", kArrayType},
                                          {"object", kObjectType},
                                          {"$fraction", kFractionType},
                                          {"number", kIntegerType | kFractionType},
                                          {"any", kAllTypes}};
inline constexpr size_t kSingleTypes = 7;
/// Keywords of choices, as IsListed has them.
inline constexpr std::string_view kChoices = " anyOf oneOf not if ";

/// Whether `word` stands in `list`, with a space on either side.
bool IsListed(std::string_view word, std::string_view list);

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
    std::string_view key() const { return KeyOf(std::span(this, 1)); }
  };
  using Conjunction = FlatVector<Part>;
  enum : uint32_t {
    kMadeAnyOf = 1,
    kMadeOneOf = 2,
    kMadeNot = 4,
    kMadeIf = 8,
    kMadeDependencies = 16,
    kMadeReferences = 32
  };
  struct Property {
    std::string_view name;  // a key of ObjectShape::names
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
    TextNumbers names;
    FlatVector<Property> properties;
    FlatVector<RuleId> values;
    TextNumbers patterns;
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
  /// Whether `schema` has one of the keywords, which stand in `list` with a space on either side.
  bool HasOneOf(JsonId schema, std::string_view list) const;
  Result<bool> BuildChoice(RuleId rule, const Conjunction& flat);
  Status BuildAnyOf(RuleId rule, const Conjunction& flat, size_t part);
  Status BuildPlain(RuleId rule, const Conjunction& flat);
  Result<uint32_t> TypesOf(const Conjunction& flat) const;
  Result<uint32_t> TypesNamed(JsonId type) const;
  Status Unsupported(JsonId schema, std::string_view keyword) const;
  template <size_t N>
  [[gnu::always_inline]] Status Unsupported(JsonId schema, const char (&keyword)[N]) const {
    return Unsupported(schema, std::string_view(keyword, __builtin_strlen(keyword)));
  }
  Status Invalid(JsonId schema, std::string_view keyword, const char* what) const;
  template <size_t N>
  [[gnu::always_inline]] Status Invalid(JsonId schema, const char (&keyword)[N],
                                        const char* what) const {
    return Invalid(schema, std::string_view(keyword, __builtin_strlen(keyword)), what);
  }
  Result<Limits> ReadLimits(const Conjunction& flat, std::string_view min, std::string_view max);

  // schema_choices.cc: choices written as anyOf
  Result<JsonId> OneOfAsAnyOf(JsonId schema);
  Result<JsonId> IfAsAnyOf(JsonId schema);
  Result<JsonId> DependenciesAsAllOf(JsonId schema);
  bool AreDisjoint(JsonId a, JsonId b, size_t depth);
  bool ExcludeByProperty(JsonId a, JsonId b, size_t depth);
  JsonId Rewritten(const Part& part, JsonId instead);
  JsonId TypesNode(uint32_t types, JsonId near);
  JsonId Wrap(std::string_view keyword, JsonId value, JsonId near);
  template <size_t N>
  [[gnu::always_inline]] JsonId Wrap(const char (&keyword)[N], JsonId value, JsonId near) {
    return Wrap(std::string_view(keyword, __builtin_strlen(keyword)), value, near);
  }

  // schema_negation.cc
  JsonId Negate(JsonId schema, size_t depth);
  void NegateKeyword(JsonId schema, std::string_view key, JsonId value, size_t depth,
                     FlatVector<JsonId>* ways, bool* is_known);
  void NegateLimit(JsonId schema, std::string_view key, JsonId value, FlatVector<JsonId>* ways,
                   bool* is_known);

  // schema_values.cc
  Status BuildValues(RuleId rule, const Conjunction& flat);
  Result<bool> ListValues(const Conjunction& flat, FlatVector<JsonId>* allowed);
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
                  FlatVector<Expression>* positive, FlatVector<Expression>* negative);
  Status AddExcluded(JsonId schema, FlatVector<Expression>* positive,
                     FlatVector<Expression>* negative);
  Status AddMultiple(JsonId schema, JsonId divisor, FlatVector<Expression>* both);

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
  Result<Conjunction> ValueOf(const Conjunction& flat, std::string_view name,
                              const TextNumbers* patterns);
  Status AddAdditional(const Conjunction& flat, ObjectShape* shape);
  Result<Expression> NameBody(const Conjunction& flat);
  Result<bool> AllowsName(const Conjunction& flat, const std::string& name);
  Result<Expression> CachedPattern(JsonId schema, std::string_view pattern);
  /// The text of a JSON string without its quotes.
  static std::string Inside(std::string_view text);

  std::span<const JsonId> Items(JsonId list) const { return tree_[list].items; }

  JsonTree tree_;
  Grammar& grammar_;
  ExpressionPool& pool_;
  bool in_order_;
  bool ignores_siblings_ = false;  // of $ref, as drafts before 2019-09 do
  TextNumbers rules_;              // by the bytes of a Conjunction
  FlatVector<const TextNumbers::Entry*> work_;
  TextNumbers pattern_bodies_;
  // By the bytes of a Part whose `made` is what has been written otherwise.
  TextNumbers rewritten_;

  // Shared pieces.
  Expression space_;
  Expression quote_;
  Expression comma_;
  Expression any_character_;  // in any spelling
  Expression key_character_;  // in one spelling
};

}  // namespace graft::runtime
