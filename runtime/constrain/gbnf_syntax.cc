// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/gbnf_syntax.h"

#include <algorithm>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/constrain/characters.h"
#include "runtime/constrain/gbnf.h"
#include "runtime/constrain/regex_class.h"

namespace graft::runtime {
namespace {

constexpr size_t kMaxNodes = 400000;
constexpr size_t kMaxQuantifiers = 8;  // one after the other

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class Parser {
 public:
  Parser(std::string_view text, ExpressionPool* pool, GbnfSyntax* syntax)
      : text_(text), pool_(*pool), syntax_(*syntax) {}

  Status Parse() {
    SkipSpace();
    while (at_ < text_.size()) {
      const std::string_view name = ReadName();
      if (name.empty()) return Fail("no rule starts");
      SkipSpace();
      if (!Take("::=")) return Fail("a rule lacks '::='");
      SkipSpace();
      const uint32_t rule = RuleNamed(name);
      if (syntax_.rules[rule].is_defined) return Fail("a rule is defined twice");
      GRAFT_ASSIGN_OR_RETURN(const GbnfNodeId body, ParseChoice(0));
      syntax_.rules[rule].body = body;
      syntax_.rules[rule].is_defined = true;
      if (at_ < text_.size() && !StartsRule()) return Fail("a ')' closes nothing");
    }
    for (const GbnfRule& rule : syntax_.rules) {
      if (rule.is_defined) continue;
      return Error(StatusCode::kInvalidArgument, "the grammar has no rule '%.*s'",
                   static_cast<int>(std::min<size_t>(rule.name.size(), 100)), rule.name.data());
    }
    return OkStatus();
  }

 private:
  Status Fail(const char* what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n');
    return Error(StatusCode::kInvalidArgument, "the grammar, line %zu: %s",
                 static_cast<size_t>(line), what);
  }

  void SkipSpace() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }

  bool Take(std::string_view what) {
    if (text_.substr(std::min(at_, text_.size()), what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  template <size_t N>
  [[gnu::always_inline]] bool Take(const char (&what)[N]) {
    return Take(std::string_view(what, __builtin_strlen(what)));
  }

  std::string_view ReadName() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  bool StartsRule() {
    const size_t begin = at_;
    const bool has_name = !ReadName().empty();
    SkipSpace();
    const bool starts = has_name && text_.substr(std::min(at_, text_.size()), 3) == "::=";
    at_ = begin;
    return starts;
  }

  uint32_t RuleNamed(std::string_view name) {
    bool is_new = false;
    const uint32_t rule =
        syntax_.names.Insert(name, static_cast<uint32_t>(syntax_.rules.size()), &is_new)->second;
    if (is_new) syntax_.rules.push_back({name});
    return rule;
  }

  Result<GbnfNodeId> Add(GbnfNode node, std::span<const GbnfNodeId> parts = {}) {
    if (syntax_.nodes.size() >= kMaxNodes) return Fail("the grammar is too large");
    node.begin = static_cast<uint32_t>(syntax_.parts.size());
    node.count = static_cast<uint32_t>(parts.size());
    syntax_.parts.Append(parts);
    syntax_.nodes.push_back(node);
    return static_cast<GbnfNodeId>(syntax_.nodes.size() - 1);
  }

  Result<GbnfNodeId> ParseChoice(size_t depth) {
    if (depth > kMaxGbnfDepth) return Fail("groups are nested too deeply");
    FlatVector<GbnfNodeId> ways;
    do {
      SkipSpace();
      FlatVector<GbnfNodeId> sequence;
      while (at_ < text_.size() && text_[at_] != '|' && text_[at_] != ')' && !StartsRule()) {
        GRAFT_ASSIGN_OR_RETURN(const GbnfNodeId part, ParseRepeated(depth));
        sequence.push_back(part);
        SkipSpace();
      }
      GRAFT_ASSIGN_OR_RETURN(const GbnfNodeId way, Add({}, sequence));
      ways.push_back(way);
    } while (Take("|"));
    GbnfNode choice;
    choice.kind = GbnfNode::Kind::kChoice;
    return Add(choice, ways);
  }

  Result<GbnfNodeId> ParseRepeated(size_t depth) {
    GRAFT_ASSIGN_OR_RETURN(GbnfNodeId atom, ParseAtom(depth));
    size_t quantifiers = 0;
    for (;;) {
      GbnfNode node;
      node.kind = GbnfNode::Kind::kRepeat;
      node.max = kUnbounded;
      if (Take("*")) {
      } else if (Take("+")) {
        node.min = 1;
      } else if (Take("?")) {
        node.max = 1;
      } else {
        RegexReader counts(text_.substr(at_));
        GRAFT_ASSIGN_OR_RETURN(const bool has_counts, counts.TakeCounts(&node.min, &node.max));
        if (!has_counts) return atom;
        at_ = text_.find('}', at_) + 1;
      }
      if (++quantifiers > kMaxQuantifiers) return Fail("too many quantifiers follow another");
      GRAFT_ASSIGN_OR_RETURN(atom, Add(node, std::span(&atom, 1)));
    }
  }

  Result<GbnfNodeId> ParseAtom(size_t depth) {
    if (Take("(")) {
      GRAFT_ASSIGN_OR_RETURN(const GbnfNodeId inner, ParseChoice(depth + 1));
      if (!Take(")")) return Fail("a group does not end");
      return inner;
    }
    GbnfNode node;
    node.kind = GbnfNode::Kind::kExpression;
    if (Take("\"")) {
      GRAFT_RETURN_IF_ERROR(ReadLiteral(&node.value));
      return Add(node);
    }
    if (const std::string_view name = ReadName(); !name.empty()) {
      node.kind = GbnfNode::Kind::kRule;
      node.value = RuleNamed(name);
      return Add(node);
    }
    CharacterSet set;
    if (Take(".")) {
      set.Add(0, 0x10FFFF);
    } else if (text_[at_] == '[') {
      GRAFT_RETURN_IF_ERROR(ReadClass(&set));
    } else {
      return Fail("this is neither a string, a class, a group nor a rule");
    }
    node.value = MakeCharacter(&pool_, set, Spelling::kText);
    return Add(node);
  }

  Status ReadLiteral(Expression* literal) {
    std::string text;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') {
      uint32_t code = 0;
      GRAFT_RETURN_IF_ERROR(ReadCharacter(&code));
      AppendUtf8(code, &text);
    }
    if (!Take("\"")) return Fail("a string does not end");
    *literal = pool_.Literal(text);
    return OkStatus();
  }

  Status ReadClass(CharacterSet* set) {
    ++at_;
    const bool is_complement = Take("^");
    CharacterSet inner;
    while (!Take("]")) {
      if (at_ >= text_.size() || text_[at_] == '\n') return Fail("a class does not end");
      uint32_t low = 0;
      GRAFT_RETURN_IF_ERROR(ReadCharacter(&low));
      uint32_t high = low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        ++at_;
        GRAFT_RETURN_IF_ERROR(ReadCharacter(&high));
      }
      if (low > high) return Fail("a range is in the wrong order");
      inner.Add(low, high);
    }
    set->Add(is_complement ? inner.Complement() : inner);
    return OkStatus();
  }

  Status ReadCharacter(uint32_t* code) {
    if (!Take("\\")) {
      const Utf8Char character = ReadUtf8(text_, at_);
      at_ += character.length;
      *code = character.code;
      return OkStatus();
    }
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    constexpr std::string_view kLetters = "ntr";
    constexpr std::string_view kMeanings = "\n\t\r";
    if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
      *code = static_cast<unsigned char>(kMeanings[i]);
    } else if (digits == 0 && std::string_view("\\\"[]-^").find(c) != std::string_view::npos) {
      *code = static_cast<unsigned char>(c);
    } else if (digits == 0) {
      return Fail("an escape is not known");
    }
    uint64_t value = 0;
    for (size_t i = 0; i < digits; ++i, ++at_) {
      const char d = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = d >= '0' && d <= '9'                     ? d - '0'
                        : (d | 0x20) >= 'a' && (d | 0x20) <= 'f' ? (d | 0x20) - 'a' + 10
                                                                 : -1;
      if (digit < 0) return Fail("an escape lacks digits");
      value = value * 16 + static_cast<uint64_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) {
      return Fail("an escape is no character");
    }
    if (digits != 0) *code = static_cast<uint32_t>(value);
    return OkStatus();
  }

  std::string_view text_;
  ExpressionPool& pool_;
  GbnfSyntax& syntax_;
  size_t at_ = 0;
};

}  // namespace

Result<GbnfSyntax> ParseGbnf(std::string_view text, ExpressionPool* pool) {
  GbnfSyntax syntax;
  GRAFT_RETURN_IF_ERROR(Parser(text, pool, &syntax).Parse());
  return syntax;
}

}  // namespace graft::runtime
