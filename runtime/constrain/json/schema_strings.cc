// SPDX-License-Identifier: Apache-2.0
// Strings: lengths, patterns and formats.
#include <algorithm>

#include "runtime/constrain/json/schema_compiler.h"
#include "runtime/constrain/regex.h"

namespace graft::runtime {
namespace {

#define GRAFT_DATE                                                                       \
  "(?:(?:\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|" \
  "[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8])))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|"  \
  "(?:[02468][048]|[13579][26])00)-02-29)"
#define GRAFT_TIME \
  "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?(?:[zZ]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define GRAFT_BYTE "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define GRAFT_IPV4 GRAFT_BYTE "(?:\\." GRAFT_BYTE "){3}"
#define GRAFT_H16 "[0-9a-fA-F]{1,4}"
#define GRAFT_LS32 "(?:" GRAFT_H16 ":" GRAFT_H16 "|" GRAFT_IPV4 ")"
#define GRAFT_IPV6                                                                                \
  "(?:(?:" GRAFT_H16 ":){6}" GRAFT_LS32 "|::(?:" GRAFT_H16 ":){5}" GRAFT_LS32 "|(?:" GRAFT_H16    \
  ")?::(?:" GRAFT_H16 ":){4}" GRAFT_LS32 "|(?:(?:" GRAFT_H16 ":){0,1}" GRAFT_H16                  \
  ")?::(?:" GRAFT_H16 ":){3}" GRAFT_LS32 "|(?:(?:" GRAFT_H16 ":){0,2}" GRAFT_H16                  \
  ")?::(?:" GRAFT_H16 ":){2}" GRAFT_LS32 "|(?:(?:" GRAFT_H16 ":){0,3}" GRAFT_H16 ")?::" GRAFT_H16 \
  ":" GRAFT_LS32 "|(?:(?:" GRAFT_H16 ":){0,4}" GRAFT_H16 ")?::" GRAFT_LS32 "|(?:(?:" GRAFT_H16    \
  ":){0,5}" GRAFT_H16 ")?::" GRAFT_H16 "|(?:(?:" GRAFT_H16 ":){0,6}" GRAFT_H16 ")?::)"
#define GRAFT_LABEL "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
#define GRAFT_HOST GRAFT_LABEL "(?:\\." GRAFT_LABEL ")*"
#define GRAFT_PCHAR "(?:[a-zA-Z0-9._~!$&'()*+,;=:@-]|%[0-9a-fA-F]{2})"
#define GRAFT_AUTHORITY                                                       \
  "//(?:(?:[a-zA-Z0-9._~!$&'()*+,;=:-]|%[0-9a-fA-F]{2})*@)?(?:\\[" GRAFT_IPV6 \
  "\\]|(?:"                                                                   \
  "[a-zA-Z0-9._~!$&'()*+,;=-]|%[0-9a-fA-F]{2})*)(?::\\d{0,5})?(?:/" GRAFT_PCHAR "*)*"
#define GRAFT_TAIL "(?:\\?(?:" GRAFT_PCHAR "|[/?])*)?(?:#(?:" GRAFT_PCHAR "|[/?])*)?"
#define GRAFT_URI                                                                       \
  "[a-zA-Z][a-zA-Z0-9+.-]*:(?:" GRAFT_AUTHORITY "|/(?:" GRAFT_PCHAR "+(?:/" GRAFT_PCHAR \
  "*)*)?|" GRAFT_PCHAR "+(?:/" GRAFT_PCHAR "*)*)" GRAFT_TAIL

struct Format {
  std::string_view name;
  std::string_view pattern;  // of the whole string; empty: known, and not supported
};

// Source   RFC 3339, 4122, 5321, 1123, 2673, 4291, 3986 and 6901.
constexpr Format kFormats[] = {
    {"date", "(?!0000)" GRAFT_DATE},
    {"time", GRAFT_TIME},
    {"date-time", "(?!0000)" GRAFT_DATE "[tT]" GRAFT_TIME},
    {"duration",
     "P(?:\\d+W|(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)(?:T(?:\\d+S|\\d+M(?:\\d+S)?|"
     "\\d+H(?:\\d+M(?:\\d+S)?)?))?|T(?:\\d+S|\\d+M(?:\\d+S)?|\\d+H(?:\\d+M(?:\\d+S)?)?))"},
    {"uuid", "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"},
    {"email", "[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+(?:\\.[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+)*@" GRAFT_HOST},
    {"hostname", GRAFT_HOST},
    {"ipv4", GRAFT_IPV4},
    {"ipv6", GRAFT_IPV6},
    {"uri", GRAFT_URI},
    {"uri-reference", "(?:" GRAFT_URI "|(?:" GRAFT_AUTHORITY "|/(?:" GRAFT_PCHAR "+(?:/" GRAFT_PCHAR
                      "*)*)?|(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9a-fA-F]{2})+(?:/" GRAFT_PCHAR
                      "*)*)?" GRAFT_TAIL ")"},
    {"json-pointer", "(?:/(?:[^/~]|~[01])*)*"},
    {"iri", ""},
    {"iri-reference", ""},
    {"idn-email", ""},
    {"idn-hostname", ""},
    {"uri-template", ""},
    {"relative-json-pointer", ""},
    {"regex", ""},
};

}  // namespace

/// *is_known: false for formats that the standard does not name, which say nothing.
Result<Expression> SchemaCompiler::FormatBody(JsonId schema, JsonId format, bool* is_known) {
  *is_known = false;
  if (tree_[format].type != JsonType::kString) return kEmpty;
  const std::string& name = tree_[format].text;
  const auto found = std::ranges::find(kFormats, std::string_view(name), &Format::name);
  if (found == std::end(kFormats)) return kEmpty;
  if (found->pattern.empty()) {
    return Error(StatusCode::kUnsupported, "the schema's format '%s' at %s is not supported",
                 name.c_str(), tree_.Place(schema).c_str());
  }
  *is_known = true;
  const auto [known, is_new] = pattern_bodies_.try_emplace("format " + name, kNothing);
  if (is_new) {
    const RegexOptions options = {Spelling::kJson, /*is_anchored=*/true};
    GRAFT_ASSIGN_OR_RETURN(known->second, ParseRegex(&pool_, found->pattern, options));
  }
  return known->second;
}

Result<Expression> SchemaCompiler::CachedPattern(JsonId schema, const std::string& pattern) {
  const auto [known, is_new] = pattern_bodies_.try_emplace("pattern " + pattern, kNothing);
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
  GRAFT_ASSIGN_OR_RETURN(const Limits limits, ReadLimits(flat, "minLength", "maxLength"));
  std::vector<Expression> parts;
  std::vector<std::string> excluded;
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
        if (tree_[value].type != JsonType::kString) continue;
        const std::string quoted = QuoteJson(tree_[value].text);
        excluded.push_back(quoted.substr(1, quoted.size() - 2));
      }
    }
  }
  *is_any = parts.empty() && excluded.empty() && limits.min == 0 && limits.max == kUnbounded;
  if (limits.min > limits.max) return kNothing;
  if (parts.empty() && excluded.empty()) {
    return pool_.Repeat(any_character_, limits.min, limits.max);
  }
  const bool has_form = !parts.empty();
  if (!excluded.empty()) parts.push_back(pool_.Not(pool_.AnyOf(std::move(excluded))));
  if (limits.min > 0 || limits.max != kUnbounded || !has_form) {
    parts.push_back(pool_.Repeat(key_character_, limits.min, limits.max));
  }
  return pool_.And(parts);
}

Status SchemaCompiler::BuildString(RuleId rule, const Conjunction& flat) {
  bool is_any = false;
  GRAFT_ASSIGN_OR_RETURN(const Expression body, StringBody(flat, &is_any));
  const Expression whole = pool_.Concat(std::array{quote_, body, quote_});
  if (whole != kNothing) grammar_.AddWay(rule, {Grammar::Is(whole)});
  return OkStatus();
}

}  // namespace graft::runtime
