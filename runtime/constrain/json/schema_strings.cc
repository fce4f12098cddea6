// SPDX-License-Identifier: Apache-2.0
// Strings: lengths, patterns and formats.
#include "runtime/constrain/json/formats.h"
#include "runtime/constrain/json/schema_compiler.h"
#include "runtime/constrain/regex.h"

namespace graft::runtime {

using std::literals::string_view_literals::operator""sv;
/// *is_known: false for formats that the standard does not name, which say nothing.
Result<Expression> SchemaCompiler::FormatBody(JsonId schema, JsonId format, bool* is_known) {
  *is_known = false;
  if (tree_[format].type != JsonType::kString) return kEmpty;
  const std::string& name = tree_[format].text;
  const std::optional<std::string> pattern = FormatPattern(name);
  if (!pattern.has_value()) return kEmpty;
  if (pattern->empty()) {
    return Error(StatusCode::kUnsupported, "the schema's format '%s' at %s is not supported",
                 name.c_str(), tree_.Place(schema).c_str());
  }
  *is_known = true;
  bool is_new = false;
  TextNumbers::Entry* const known = pattern_bodies_.Insert("format " + name, kNothing, &is_new);
  if (is_new) {
    const RegexOptions options = {Spelling::kJson, /*is_anchored=*/true};
    GRAFT_ASSIGN_OR_RETURN(known->second, ParseRegex(&pool_, *pattern, options));
  }
  return known->second;
}

Result<Expression> SchemaCompiler::CachedPattern(JsonId schema, std::string_view pattern) {
  bool is_new = false;
  TextNumbers::Entry* const known =
      pattern_bodies_.Insert(std::string("pattern ").append(pattern), kNothing, &is_new);
  if (is_new) {
    const RegexOptions options = {Spelling::kJson, /*is_anchored=*/false};
    auto parsed = ParseRegex(&pool_, pattern, options);
    if (!parsed.ok()) {
      return parsed.status().WithContext("the schema's pattern at " + tree_.Place(schema));
    }
    known->second = *parsed;
  }
  return known->second;
}

Result<Expression> SchemaCompiler::PatternBody(JsonId schema, JsonId pattern) {
  if (tree_[pattern].type != JsonType::kString) return Invalid(schema, "pattern", "is no string");
  return CachedPattern(schema, tree_[pattern].text);
}

Result<Expression> SchemaCompiler::StringBody(const Conjunction& flat, bool* is_any) {
  GRAFT_ASSIGN_OR_RETURN(const Limits limits, ReadLimits(flat, "minLength"sv, "maxLength"sv));
  FlatVector<Expression> parts;
  TextNumbers excluded;
  for (const Part& part : flat) {
    if (const JsonId pattern = tree_.Find(part.schema, "pattern"); pattern != kNoJson) {
      GRAFT_ASSIGN_OR_RETURN(const Expression body, PatternBody(part.schema, pattern));
      parts.push_back(body);
    }
    if (const JsonId pattern = tree_.Find(part.schema, "$notPattern"); pattern != kNoJson) {
      GRAFT_ASSIGN_OR_RETURN(const Expression body, PatternBody(part.schema, pattern));
      parts.push_back(pool_.And(pool_.Not(body), pool_.Repeat(key_character_, 0)));
    }
    if (const JsonId format = tree_.Find(part.schema, "format"); format != kNoJson) {
      bool is_known = false;
      GRAFT_ASSIGN_OR_RETURN(const Expression body, FormatBody(part.schema, format, &is_known));
      if (is_known) parts.push_back(body);
    }
    if (const JsonId list = tree_.Find(part.schema, "$notEnum"); list != kNoJson) {
      for (const JsonId value : tree_[list].items) {
        if (tree_[value].type == JsonType::kString) excluded.Insert(Inside(tree_[value].text));
      }
    }
  }
  *is_any = parts.empty() && excluded.size() == 0 && limits.min == 0 && limits.max == kUnbounded;
  if (limits.min > limits.max) return kNothing;
  if (parts.empty() && excluded.size() == 0) {
    return pool_.Repeat(any_character_, limits.min, limits.max);
  }
  const bool has_form = !parts.empty();
  if (excluded.size() != 0) parts.push_back(pool_.Not(pool_.AnyOf(excluded)));
  if (limits.min > 0 || limits.max != kUnbounded || !has_form) {
    parts.push_back(pool_.Repeat(key_character_, limits.min, limits.max));
  }
  return pool_.And(parts);
}

Status SchemaCompiler::BuildString(RuleId rule, const Conjunction& flat) {
  bool is_any = false;
  GRAFT_ASSIGN_OR_RETURN(const Expression body, StringBody(flat, &is_any));
  const Expression whole = pool_.Concat(std::array{quote_, body, quote_});
  if (whole != kNothing) grammar_.AddWay(rule, Grammar::Is(whole));
  return OkStatus();
}

}  // namespace graft::runtime
