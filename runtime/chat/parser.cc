// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/parser.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/chat/expression_parser.h"
#include "runtime/chat/lexer.h"

namespace graft::runtime::chat {
namespace {

/// Statements; expressions come from the class below.
class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Status Run() {
    GRAFT_ASSIGN_OR_RETURN(syntax_->root, ParseBlock({}));
    GRAFT_RETURN_IF_ERROR(CheckSize());
    return At(TokenKind::kEnd) ? OkStatus() : Fail("a statement that belongs to no other");
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  /// Statements up to a tag that starts with one of `ends`, whose start and name are consumed then;
  /// with none, up to the template's end.
  Result<uint32_t> ParseBlock(Names ends) {
    GRAFT_RETURN_IF_ERROR(Enter());
    const uint32_t block = Add(NodeKind::kBlock);
    for (;;) {
      if (At(TokenKind::kEnd)) {
        if (ends.size() == 0) break;
        return Fail("a block does not end");
      }
      if (At(TokenKind::kText)) {
        const uint32_t text = Add(NodeKind::kText);
        node(text).text = Take().text;
        AddChild(block, text);
        continue;
      }
      if (At(TokenKind::kOutputBegin)) {
        Take();
        const uint32_t output = Add(NodeKind::kOutput);
        GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseTuple());
        AddChild(output, value);
        if (!At(TokenKind::kOutputEnd)) return Fail("expected }}");
        Take();
        AddChild(block, output);
        continue;
      }
      Take();  // the block's begin
      if (!At(TokenKind::kName)) return Fail("expected a statement");
      word_ = Take().text;
      if (std::find(ends.begin(), ends.end(), word_) != ends.end()) break;
      GRAFT_ASSIGN_OR_RETURN(const uint32_t statement, ParseStatement());
      AddChild(block, statement);
      GRAFT_RETURN_IF_ERROR(CheckSize());
    }
    Leave();
    return block;
  }

  Status EndTag() {
    if (!At(TokenKind::kBlockEnd)) return Fail("expected %}");
    Take();
    return OkStatus();
  }

  Result<uint32_t> ParseBody(Names ends) {
    GRAFT_RETURN_IF_ERROR(EndTag());
    return ParseBlock(ends);
  }

  Result<uint32_t> ParseStatement() {
    const std::string_view word = word_;
    if (word == "if") return ParseIf();
    if (word == "for") return ParseFor();
    if (word == "set") return ParseSet();
    if (word == "macro") return ParseMacro();
    if (word == "call") return ParseCallBlock();
    if (word == "filter") return ParseFilterBlock();
    if (word == "generation") {  // marks what the model writes; what is rendered is the same
      GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"endgeneration"}));
      GRAFT_RETURN_IF_ERROR(EndTag());
      return body;
    }
    if (word == "break" || word == "continue") {
      const uint32_t statement = Add(word == "break" ? NodeKind::kBreak : NodeKind::kContinue);
      GRAFT_RETURN_IF_ERROR(EndTag());
      return statement;
    }
    return Error(StatusCode::kUnsupported, "line %u: the statement \"%.*s\" is not known", line(),
                 static_cast<int>(std::min<size_t>(word.size(), 40)), word.data());
  }

  /// if c %} ... {% elif c %} ... {% else %} ... {% endif %}: an elif is an if in the else.
  Result<uint32_t> ParseIf() {
    const uint32_t first = Add(NodeKind::kIf);
    std::vector<uint32_t> chain = {first};
    for (;;) {
      GRAFT_ASSIGN_OR_RETURN(const uint32_t condition, ParseTuple());
      AddChild(chain.back(), condition);
      GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"elif", "else", "endif"}));
      AddChild(chain.back(), body);
      if (word_ != "elif") break;
      if (chain.size() > kMaxNodeDepth) return Fail("too many elif");
      chain.push_back(Add(NodeKind::kIf));
    }
    if (word_ == "else") {
      GRAFT_ASSIGN_OR_RETURN(const uint32_t otherwise, ParseBody({"endif"}));
      AddChild(chain.back(), otherwise);
    }
    GRAFT_RETURN_IF_ERROR(EndTag());
    for (size_t i = chain.size() - 1; i > 0; --i) AddChild(chain[i - 1], chain[i]);
    return first;
  }

  Result<uint32_t> ParseFor() {
    const uint32_t loop = Add(NodeKind::kFor);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t target, ParseTarget());
    AddChild(loop, target);
    if (!TakeName("in")) return Fail("expected in");
    GRAFT_ASSIGN_OR_RETURN(const uint32_t sequence, ParseTuple(false));
    AddChild(loop, sequence);
    uint32_t condition = Add(NodeKind::kUndefined);
    if (TakeName("if")) {
      GRAFT_ASSIGN_OR_RETURN(condition, ParseExpression());
    }
    AddChild(loop, condition);
    if (TakeName("recursive")) {
      return Error(StatusCode::kUnsupported, "line %u: recursive loops are not known", line());
    }
    GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"else", "endfor"}));
    AddChild(loop, body);
    if (word_ == "else") {
      GRAFT_ASSIGN_OR_RETURN(const uint32_t otherwise, ParseBody({"endfor"}));
      AddChild(loop, otherwise);
    }
    GRAFT_RETURN_IF_ERROR(EndTag());
    return loop;
  }

  /// A name, a member of a namespace, or several names.
  Result<uint32_t> ParseTarget() {
    std::vector<uint32_t> targets;
    bool is_tuple = false;
    const bool has_brackets = TakeOperator("(");
    do {
      if (!At(TokenKind::kName)) {
        if (is_tuple) break;
        return Fail("expected a name");
      }
      uint32_t name = Add(NodeKind::kName);
      node(name).text = Take().text;
      if (TakeOperator(".")) {
        if (!At(TokenKind::kName)) return Fail("expected a name");
        const uint32_t member = Add(NodeKind::kMember);
        node(member).text = Take().text;
        AddChild(member, name);
        name = member;
      }
      targets.push_back(name);
    } while (TakeOperator(",") && (is_tuple = true));
    if (has_brackets && !TakeOperator(")")) return Fail("expected )");
    if (!is_tuple) return targets.front();
    const uint32_t tuple = Add(NodeKind::kTuple);
    for (const uint32_t target : targets) AddChild(tuple, target);
    return tuple;
  }

  Result<uint32_t> ParseSet() {
    GRAFT_ASSIGN_OR_RETURN(const uint32_t target, ParseTarget());
    if (TakeOperator("=")) {
      const uint32_t set = Add(NodeKind::kSet);
      AddChild(set, target);
      GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseTuple());
      AddChild(set, value);
      GRAFT_RETURN_IF_ERROR(EndTag());
      return set;
    }
    const uint32_t set = Add(NodeKind::kSetBlock);
    AddChild(set, target);
    while (TakeOperator("|")) GRAFT_RETURN_IF_ERROR(ParseFilterName(set));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"endset"}));
    AddChild(set, body);
    GRAFT_RETURN_IF_ERROR(EndTag());
    return set;
  }

  Status ParseFilterName(uint32_t statement) {
    if (!At(TokenKind::kName)) return Fail("expected a filter");
    node(statement).names.push_back(Take().text);
    if (AtOperator("(")) return Fail("a filter on a block takes no arguments here");
    return OkStatus();
  }

  /// name = default, ...) of a macro, the opening bracket behind us.
  Status ParseParameters(uint32_t macro) {
    while (!AtOperator(")")) {
      if (!At(TokenKind::kName)) return Fail("expected a parameter");
      if (node(macro).names.size() >= kMaxArguments) return Fail("a macro has too many parameters");
      node(macro).names.push_back(Take().text);
      if (TakeOperator("=")) {
        GRAFT_ASSIGN_OR_RETURN(const uint32_t value, ParseExpression());
        AddChild(macro, value);
      } else if (node(macro).children.size() > 1) {
        return Fail("a parameter without a default after one with");
      }
      if (!TakeOperator(",")) break;
    }
    return TakeOperator(")") ? OkStatus() : Fail("expected )");
  }

  Result<uint32_t> ParseMacro() {
    const uint32_t macro = Add(NodeKind::kMacro);
    if (!At(TokenKind::kName)) return Fail("expected a name");
    node(macro).text = Take().text;
    if (!TakeOperator("(")) return Fail("expected (");
    AddChild(macro, Add(NodeKind::kBlock));  // the body's place
    GRAFT_RETURN_IF_ERROR(ParseParameters(macro));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"endmacro"}));
    GRAFT_RETURN_IF_ERROR(EndTag());
    SetChild(macro, 0, body);
    return macro;
  }

  Result<uint32_t> ParseCallBlock() {
    if (AtOperator("(")) {
      return Error(StatusCode::kUnsupported, "line %u: call with parameters is not known", line());
    }
    const uint32_t block = Add(NodeKind::kCallBlock);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t call, ParseExpression());
    if (node(call).kind != NodeKind::kCall) return Fail("expected a call");
    AddChild(block, call);
    GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"endcall"}));
    AddChild(block, body);
    GRAFT_RETURN_IF_ERROR(EndTag());
    return block;
  }

  Result<uint32_t> ParseFilterBlock() {
    const uint32_t block = Add(NodeKind::kFilterBlock);
    do {
      GRAFT_RETURN_IF_ERROR(ParseFilterName(block));
    } while (TakeOperator("|"));
    GRAFT_ASSIGN_OR_RETURN(const uint32_t body, ParseBody({"endfilter"}));
    AddChild(block, body);
    GRAFT_RETURN_IF_ERROR(EndTag());
    return block;
  }

  std::string_view word_;  // the name of the tag at hand
};

}  // namespace

Result<std::unique_ptr<const Syntax>> ParseTemplate(std::string source) {
  if (source.size() > kMaxTemplateBytes) {
    return Error(StatusCode::kCorrupt, "a chat template of %zu bytes exceeds %zu", source.size(),
                 kMaxTemplateBytes);
  }
  if (!IsValidUtf8(source)) return Status(StatusCode::kCorrupt, "the chat template is not UTF-8");
  auto syntax = std::make_unique<Syntax>();
  syntax->source = std::move(source);
  GRAFT_ASSIGN_OR_RETURN(std::vector<Token> tokens, ReadTokens(syntax.get()));
  GRAFT_RETURN_IF_ERROR(Parser(std::move(tokens), syntax.get()).Run());
  return std::unique_ptr<const Syntax>(std::move(syntax));
}

}  // namespace graft::runtime::chat
