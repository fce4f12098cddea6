// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/regex.h"

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/base/utf8.h"
#include "runtime/constrain/regex_class.h"

namespace graft::runtime {
namespace {

/// Reads one pattern by descent.
class RegexParser {
 public:
  RegexParser(ExpressionPool* pool, std::string_view pattern, const RegexOptions& options)
      : pool_(*pool),
        reader_(pattern),
        spelling_(options.spelling),
        any_(pool->Repeat(MakeAnyCharacter(pool, options.spelling), 0)),
        is_anchored_(options.is_anchored) {}

  Result<Expression> Parse() {
    if (reader_.Take("(?i)")) folds_case_ = true;
    GRAFT_ASSIGN_OR_RETURN(const Expression whole, ParseOutermost(is_anchored_, is_anchored_));
    if (!reader_.AtEnd()) return reader_.Invalid("a ')' closes nothing");
    if (pool_.overflowed()) {
      return Error(StatusCode::kInvalidArgument, "the regular expression is too large to build");
    }
    return whole;
  }

 private:
  // The alternatives outside of all groups, or in the one group that is all of one: the only ones
  // whose start and end are known. *_is_fixed: nothing may stand there before or behind.
  Result<Expression> ParseOutermost(bool start_is_fixed, bool end_is_fixed) {
    FlatVector<Expression> ways;
    do {
      GRAFT_ASSIGN_OR_RETURN(const Expression way, ParseOuterBranch(start_is_fixed, end_is_fixed));
      ways.push_back(way);
    } while (reader_.Take("|"));
    return std::ranges::find(ways, any_) != ways.end() ? any_ : pool_.Or(ways);
  }

  Result<Expression> ParseOuterBranch(bool start_is_fixed, bool end_is_fixed) {
    while (reader_.Take("^")) start_is_fixed = true;
    if (const std::string_view group = reader_.OnlyGroup(); !group.empty()) {
      // ((a|^b)): its alternatives are the branch's own.
      const bool ends = reader_.GroupEndsLine(group);
      reader_.Skip(group.size());
      GRAFT_RETURN_IF_ERROR(Deeper());
      GRAFT_ASSIGN_OR_RETURN(const Expression inner,
                             ParseOutermost(start_is_fixed, end_is_fixed || ends));
      --depth_;
      if (!reader_.Take(")")) return reader_.Invalid("a group does not end");
      while (reader_.Take("$")) {
      }
      return inner;
    }
    FlatVector<Expression> parts;
    FlatVector<NumberPair> ahead;  // what holds from a part on
    while (!reader_.AtEnd() && reader_.Peek() != '|' && reader_.Peek() != ')') {
      if (reader_.Peek() == '$') {
        while (reader_.Take("$")) end_is_fixed = true;
        if (!reader_.AtEnd() && reader_.Peek() != '|' && reader_.Peek() != ')') {
          return reader_.Unsupported("'$' before the end");
        }
        break;
      }
      const bool is_not = reader_.Take("(?!");
      if (is_not || reader_.Take("(?=")) {
        GRAFT_RETURN_IF_ERROR(Deeper());
        GRAFT_ASSIGN_OR_RETURN(const Expression inner, ParseOutermost(true, false));
        --depth_;
        if (!reader_.Take(")")) return reader_.Invalid("a group does not end");
        const Expression rest = inner == any_ ? kNothing : pool_.Not(inner);  // of any characters
        ahead.push_back({static_cast<uint32_t>(parts.size()), is_not ? rest : inner});
        continue;
      }
      GRAFT_ASSIGN_OR_RETURN(const Expression part, ParseRepeated());
      parts.push_back(part);
    }
    Expression whole = end_is_fixed ? kEmpty : any_;
    for (size_t i = parts.size() + 1; i-- > 0;) {
      if (i < parts.size()) whole = pool_.Concat(parts[i], whole);
      for (const auto& [at, expression] : ahead) {
        if (at == i) whole = pool_.And(whole, expression);
      }
    }
    // What may match nothing is found in every text.
    if (!end_is_fixed && ahead.empty() && pool_.IsNullable(whole)) return any_;
    return start_is_fixed ? whole : pool_.Concat(any_, whole);
  }

  Status Deeper() {
    if (++depth_ <= kMaxRegexDepth) return OkStatus();
    return Error(StatusCode::kInvalidArgument,
                 "the regular expression's groups are nested deeper than %zu levels",
                 kMaxRegexDepth);
  }

  Result<Expression> ParseAlternatives() {
    GRAFT_RETURN_IF_ERROR(Deeper());
    FlatVector<Expression> ways;
    do {
      FlatVector<Expression> parts;
      while (!reader_.AtEnd() && reader_.Peek() != '|' && reader_.Peek() != ')') {
        GRAFT_ASSIGN_OR_RETURN(const Expression part, ParseRepeated());
        parts.push_back(part);
      }
      ways.push_back(pool_.Concat(parts));
    } while (reader_.Take("|"));
    --depth_;
    return pool_.Or(ways);
  }

  Result<Expression> ParseRepeated() {
    GRAFT_ASSIGN_OR_RETURN(Expression atom, ParseAtom());
    size_t quantifiers = 0;
    for (;;) {
      uint32_t min = 0;
      uint32_t max = kUnbounded;
      if (reader_.Take("*")) {
      } else if (reader_.Take("+")) {
        min = 1;
      } else if (reader_.Take("?")) {
        max = 1;
      } else {
        GRAFT_ASSIGN_OR_RETURN(const bool has_counts, reader_.TakeCounts(&min, &max));
        if (!has_counts) return atom;
      }
      if (++quantifiers > 1) return reader_.Invalid("a quantifier follows another");
      atom = pool_.Repeat(atom, min, max);
      if (reader_.Take("+")) return reader_.Unsupported("a possessive quantifier");
      reader_.Take("?");  // which match is found first is of no account
    }
  }

  Result<Expression> ParseAtom() {
    if (reader_.Take("(")) return ParseGroup();
    CharacterSet set;
    GRAFT_RETURN_IF_ERROR(reader_.ReadCharacters(&set));
    if (folds_case_) set.FoldCase();
    return MakeCharacter(&pool_, set, spelling_);
  }

  Result<Expression> ParseGroup() {
    if (reader_.Take("?:")) {
    } else if (reader_.Take("?=") || reader_.Take("?!")) {
      return reader_.Unsupported("lookahead within a group");
    } else if (reader_.Take("?<=") || reader_.Take("?<!")) {
      return reader_.Unsupported("lookbehind");
    } else if (reader_.Take("?<") || reader_.Take("?P<")) {
      while (!reader_.AtEnd() && !reader_.Take(">")) reader_.Skip(1);
    } else if (!reader_.AtEnd() && reader_.Peek() == '?') {
      return reader_.Unsupported("a group of this kind");
    }
    GRAFT_ASSIGN_OR_RETURN(const Expression inner, ParseAlternatives());
    if (!reader_.Take(")")) return reader_.Invalid("a group does not end");
    return inner;
  }

  ExpressionPool& pool_;
  RegexReader reader_;
  Spelling spelling_;
  Expression any_;
  bool is_anchored_;
  bool folds_case_ = false;
  size_t depth_ = 0;
};

}  // namespace

Result<Expression> ParseRegex(ExpressionPool* pool, std::string_view pattern,
                              const RegexOptions& options) {
  if (pattern.size() > kMaxRegexBytes) {
    return Error(StatusCode::kInvalidArgument,
                 "the regular expression has %zu bytes, more than %zu", pattern.size(),
                 kMaxRegexBytes);
  }
  if (!IsValidUtf8(pattern)) {
    return Status(StatusCode::kInvalidArgument, "the regular expression is not UTF-8");
  }
  return RegexParser(pool, pattern, options).Parse();
}

}  // namespace graft::runtime
