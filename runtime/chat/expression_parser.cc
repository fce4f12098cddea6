// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/expression_parser.h"

#include <algorithm>
#include <array>
#include <string>

namespace graft::runtime::chat {
namespace {

// Levels of binary operators, from those that bind least.
constexpr int kOrLevel = 0;
constexpr int kAndLevel = 1;
constexpr int kNotLevel = 2;
constexpr int kCompareLevel = 3;
constexpr int kSumLevel = 4;
constexpr int kConcatLevel = 5;
constexpr int kProductLevel = 6;
constexpr int kPowerLevel = 7;
constexpr int kUnaryLevel = 8;

int LevelOf(std::string_view op) {
  constexpr std::array<std::string_view, 6> kCompare = {"==", "!=", "<", ">", "<=", ">="};
  if (std::find(kCompare.begin(), kCompare.end(), op) != kCompare.end()) return kCompareLevel;
  if (op == "+" || op == "-") return kSumLevel;
  if (op == "~") return kConcatLevel;
  if (op == "*" || op == "/" || op == "//" || op == "%") return kProductLevel;
  return op == "**" ? kPowerLevel : kUnaryLevel;
}

}  // namespace

Status ExpressionParser::Fail(const char* what) const {
  return Error(StatusCode::kCorrupt, "line %u: %s", line(), what);
}

Status ExpressionParser::Enter() {
  GRAFT_RETURN_IF_ERROR(CheckSize());
  if (++depth_ > kMaxNodeDepth) return Fail("nested too deeply");
  return OkStatus();
}

Status ExpressionParser::CheckSize() const {
  if (!too_large_) return OkStatus();
  return Fail("the template has too many parts, or is nested too deeply");
}

uint32_t ExpressionParser::Add(NodeKind kind) {
  if (syntax_->nodes.size() >= kMaxNodes) {
    too_large_ = true;  // Enter tells
    return static_cast<uint32_t>(syntax_->nodes.size() - 1);
  }
  Node& added = syntax_->nodes.emplace_back();
  added.kind = kind;
  added.line = line();
  return static_cast<uint32_t>(syntax_->nodes.size() - 1);
}

void ExpressionParser::AddChild(uint32_t parent, uint32_t child) {
  node(parent).children.push_back(child);
  SetChild(parent, node(parent).children.size() - 1, child);
}

void ExpressionParser::SetChild(uint32_t parent, size_t place, uint32_t child) {
  node(parent).children[place] = child;
  node(parent).depth = std::max(node(parent).depth, node(child).depth + 1);
  if (node(parent).depth > kMaxNodeDepth) too_large_ = true;
}

Result<uint32_t> ExpressionParser::ParseExpression(bool with_condition) {
  GRAFT_RETURN_IF_ERROR(Enter());
  GRAFT_ASSIGN_OR_RETURN(uint32_t value, ParseBinary(kOrLevel));
  while (with_condition && TakeName("if")) {
    const uint32_t choice = Add(NodeKind::kIfElse);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t condition, ParseBinary(kOrLevel));
    AddChild(choice, condition);
    AddChild(choice, value);
    if (TakeName("else")) {
      GRAFT_ASSIGN_OR_RETURN(const uint32_t otherwise, ParseExpression());
      AddChild(choice, otherwise);
    } else {
      AddChild(choice, Add(NodeKind::kUndefined));
    }
    value = choice;
  }
  Leave();
  GRAFT_RETURN_IF_ERROR(CheckSize());
  return value;
}

Result<uint32_t> ExpressionParser::ParseTuple(bool with_condition) {
  GRAFT_ASSIGN_OR_RETURN(const uint32_t first, ParseExpression(with_condition));
  if (!AtOperator(",")) return first;
  const uint32_t tuple = Add(NodeKind::kTuple);
  AddChild(tuple, first);
  while (TakeOperator(",")) {
    if (At(TokenKind::kBlockEnd) || At(TokenKind::kOutputEnd) || AtOperator(")")) break;
    GRAFT_ASSIGN_OR_RETURN(const uint32_t next, ParseExpression(with_condition));
    AddChild(tuple, next);
  }
  return tuple;
}

Result<uint32_t> ExpressionParser::ParseBinary(int level) {
  if (level == kUnaryLevel) return ParseUnary(true);
  if (level == kNotLevel) {
    if (!TakeName("not")) return ParseBinary(level + 1);
    GRAFT_RETURN_IF_ERROR(Enter());
    const uint32_t negation = Add(NodeKind::kNot);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseBinary(level));
    AddChild(negation, value);
    Leave();
    return negation;
  }
  GRAFT_ASSIGN_OR_RETURN(uint32_t left, ParseBinary(level + 1));
  uint32_t chain = 0;  // of a < b < c: b
  bool is_chain = false;
  for (;;) {
    const bool is_word = At(TokenKind::kName);
    NodeKind kind = NodeKind::kBinary;
    std::string_view op = token().text;
    bool negated = false;
    if (level == kOrLevel && is_word && op == "or") {
      kind = NodeKind::kOr;
    } else if (level == kAndLevel && is_word && op == "and") {
      kind = NodeKind::kAnd;
    } else if (level == kCompareLevel && is_word && op == "in") {
      op = "in";
    } else if (level == kCompareLevel && is_word && op == "not" &&
               tokens_[at_ + 1].kind == TokenKind::kName && tokens_[at_ + 1].text == "in") {
      Take();
      op = "in";
      negated = true;
    } else if (!At(TokenKind::kOperator) || LevelOf(op) != level) {
      return left;
    }
    Take();
    uint32_t joined = Add(kind);
    node(joined).text = op;
    GRAFT_ASSIGN_OR_RETURN(const uint32_t right, ParseBinary(level + 1));
    AddChild(joined, is_chain ? chain : left);
    AddChild(joined, right);
    if (negated) {
      const uint32_t negation = Add(NodeKind::kNot);
      AddChild(negation, joined);
      joined = negation;
    }
    if (is_chain) {
      const uint32_t both = Add(NodeKind::kAnd);
      AddChild(both, left);
      AddChild(both, joined);
      joined = both;
    }
    is_chain = level == kCompareLevel;
    chain = right;
    left = joined;
    GRAFT_RETURN_IF_ERROR(CheckSize());
  }
}

Result<uint32_t> ExpressionParser::ParseUnary(bool with_filters) {
  GRAFT_RETURN_IF_ERROR(Enter());
  uint32_t value = 0;
  if (AtOperator("-") || AtOperator("+")) {
    value = Add(Take().text == "-" ? NodeKind::kNegate : NodeKind::kPlus);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t inner, ParseUnary(false));
    AddChild(value, inner);
  } else {
    GRAFT_ASSIGN_OR_RETURN(value, ParsePrimary());
    GRAFT_ASSIGN_OR_RETURN(value, ParsePostfix(value));
  }
  if (with_filters) {
    GRAFT_ASSIGN_OR_RETURN(value, ParseFilters(value));
  }
  Leave();
  return value;
}

Result<uint32_t> ExpressionParser::ParseName() {
  const std::string_view text = Take().text;
  NodeKind kind = NodeKind::kName;
  if (text == "true" || text == "True") kind = NodeKind::kTrue;
  if (text == "false" || text == "False") kind = NodeKind::kFalse;
  if (text == "none" || text == "None") kind = NodeKind::kNone;
  const uint32_t name = Add(kind);
  node(name).text = text;
  return name;
}

Result<uint32_t> ExpressionParser::ParsePrimary() {
  if (At(TokenKind::kName)) return ParseName();
  if (At(TokenKind::kInteger) || At(TokenKind::kFloat)) {
    const uint32_t number = Add(At(TokenKind::kFloat) ? NodeKind::kFloat : NodeKind::kInteger);
    const Token& read = Take();
    node(number).int_value = read.int_value;
    node(number).float_value = read.float_value;
    return number;
  }
  if (At(TokenKind::kString)) {
    const uint32_t text = Add(NodeKind::kString);
    node(text).text = Take().text;
    if (!At(TokenKind::kString)) return text;
    std::string joined(node(text).text);
    while (At(TokenKind::kString)) joined += Take().text;
    node(text).text = syntax_->strings.emplace_back(std::move(joined));
    return text;
  }
  if (TakeOperator("(")) {
    if (TakeOperator(")")) return Add(NodeKind::kTuple);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t inner, ParseTuple());
    if (!TakeOperator(")")) return Fail("expected )");
    return inner;
  }
  if (TakeOperator("[")) return ParseList();
  if (TakeOperator("{")) return ParseMap();
  return Fail("expected an expression");
}

Result<uint32_t> ExpressionParser::ParseList() {
  const uint32_t list = Add(NodeKind::kList);
  while (!AtOperator("]")) {
    GRAFT_ASSIGN_OR_RETURN(const uint32_t element, ParseExpression());
    AddChild(list, element);
    if (!TakeOperator(",")) break;
  }
  if (!TakeOperator("]")) return Fail("expected ]");
  return list;
}

Result<uint32_t> ExpressionParser::ParseMap() {
  const uint32_t map = Add(NodeKind::kMap);
  while (!AtOperator("}")) {
    GRAFT_ASSIGN_OR_RETURN(const uint32_t key, ParseExpression());
    if (!TakeOperator(":")) return Fail("expected :");
    GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseExpression());
    AddChild(map, key);
    AddChild(map, value);
    if (!TakeOperator(",")) break;
  }
  if (!TakeOperator("}")) return Fail("expected }");
  return map;
}

Result<uint32_t> ExpressionParser::ParsePostfix(uint32_t value) {
  for (;;) {
    if (TakeOperator(".")) {
      const uint32_t member = Add(At(TokenKind::kInteger) ? NodeKind::kItem : NodeKind::kMember);
      AddChild(member, value);
      if (At(TokenKind::kInteger)) {
        const uint32_t index = Add(NodeKind::kInteger);
        node(index).int_value = Take().int_value;
        AddChild(member, index);
      } else if (At(TokenKind::kName)) {
        node(member).text = Take().text;
      } else {
        return Fail("expected a name");
      }
      value = member;
    } else if (TakeOperator("[")) {
      GRAFT_ASSIGN_OR_RETURN(value, ParseSubscript(value));
    } else if (TakeOperator("(")) {
      const uint32_t call = Add(NodeKind::kCall);
      AddChild(call, value);
      GRAFT_RETURN_IF_ERROR(ParseArguments(call));
      value = call;
    } else {
      return value;
    }
    GRAFT_RETURN_IF_ERROR(CheckSize());
  }
}

Result<uint32_t> ExpressionParser::ParseSubscript(uint32_t value) {
  std::array<uint32_t, 3> parts = {0, 0, 0};
  std::array<bool, 3> given = {false, false, false};
  size_t part = 0;
  for (;; ++part) {
    if (!AtOperator(":") && !AtOperator("]")) {
      GRAFT_ASSIGN_OR_RETURN(parts[part], ParseExpression());
      given[part] = true;
    }
    if (part == 2 || !TakeOperator(":")) break;
  }
  if (!TakeOperator("]")) return Fail("expected ]");
  if (part == 0 && !given[0]) return Fail("expected an index");
  const uint32_t item = Add(part == 0 ? NodeKind::kItem : NodeKind::kSlice);
  AddChild(item, value);
  for (size_t i = 0; i < (part == 0 ? 1u : 3u); ++i) {
    AddChild(item, given[i] ? parts[i] : Add(NodeKind::kUndefined));
  }
  return item;
}

Status ExpressionParser::ParseArguments(uint32_t call) {
  while (!AtOperator(")")) {
    if (node(call).names.size() >= kMaxArguments) return Fail("a call has too many arguments");
    std::string_view name;
    if (At(TokenKind::kName) && tokens_[at_ + 1].kind == TokenKind::kOperator &&
        tokens_[at_ + 1].text == "=") {
      name = Take().text;
      Take();
    }
    if (AtOperator("*") || AtOperator("**")) return Fail("arguments cannot be unpacked");
    GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseExpression());
    AddChild(call, value);
    node(call).names.push_back(name);
    if (!TakeOperator(",")) break;
  }
  return TakeOperator(")") ? OkStatus() : Fail("expected )");
}

Result<uint32_t> ExpressionParser::ParseFilters(uint32_t value) {
  for (;;) {
    if (TakeOperator("|")) {
      if (!At(TokenKind::kName)) return Fail("expected a filter");
      const uint32_t filter = Add(NodeKind::kFilter);
      node(filter).text = Take().text;
      AddChild(filter, value);
      if (TakeOperator("(")) GRAFT_RETURN_IF_ERROR(ParseArguments(filter));
      value = filter;
    } else if (TakeName("is")) {
      GRAFT_ASSIGN_OR_RETURN(value, ParseTest(value));
    } else if (AtOperator("(")) {
      Take();
      const uint32_t call = Add(NodeKind::kCall);
      AddChild(call, value);
      GRAFT_RETURN_IF_ERROR(ParseArguments(call));
      value = call;
    } else {
      return value;
    }
    GRAFT_RETURN_IF_ERROR(CheckSize());
  }
}

Result<uint32_t> ExpressionParser::ParseTest(uint32_t value) {
  const bool negated = TakeName("not");
  if (!At(TokenKind::kName)) return Fail("expected a test");
  const uint32_t test = Add(NodeKind::kTest);
  node(test).text = Take().text;
  AddChild(test, value);
  const bool starts_argument =
      At(TokenKind::kString) || At(TokenKind::kInteger) || At(TokenKind::kFloat) ||
      AtOperator("[") || AtOperator("{") ||
      (At(TokenKind::kName) && !AtName("else") && !AtName("or") && !AtName("and") &&
       !AtName("is") && !AtName("if") && !AtName("in") && !AtName("not"));
  if (TakeOperator("(")) {
    GRAFT_RETURN_IF_ERROR(ParseArguments(test));
  } else if (starts_argument) {
    GRAFT_ASSIGN_OR_RETURN(uint32_t argument, ParsePrimary());
    GRAFT_ASSIGN_OR_RETURN(argument, ParsePostfix(argument));
    AddChild(test, argument);
    node(test).names.emplace_back();
  }
  if (!negated) return test;
  const uint32_t negation = Add(NodeKind::kNot);
  AddChild(negation, test);
  return negation;
}

}  // namespace graft::runtime::chat
