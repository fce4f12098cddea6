// SPDX-License-Identifier: Apache-2.0
// Expressions of a chat template, with Jinja's precedence.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/chat/syntax.h"
#include "schema/result.h"

namespace graft::runtime::chat {

/// Reads from a list of tokens and adds nodes to a tree.
class ExpressionParser {
 public:
  /// `tokens` ends with one of kind kEnd. `syntax` must outlive this.
  ExpressionParser(std::vector<Token> tokens, Syntax* syntax)
      : syntax_(syntax), tokens_(std::move(tokens)) {}

  /// then if condition else otherwise, and all that binds tighter.
  Result<uint32_t> ParseExpression(bool with_condition = true);
  /// An expression, or several with commas between.
  Result<uint32_t> ParseTuple(bool with_condition = true);

 protected:
  const Token& token() const { return tokens_[at_]; }
  uint32_t line() const { return tokens_[at_].line; }
  bool At(TokenKind kind) const { return tokens_[at_].kind == kind; }
  bool AtOperator(std::string_view text) const {
    return At(TokenKind::kOperator) && tokens_[at_].text == text;
  }
  bool AtName(std::string_view text) const {
    return At(TokenKind::kName) && tokens_[at_].text == text;
  }
  const Token& Take() { return At(TokenKind::kEnd) ? tokens_[at_] : tokens_[at_++]; }
  bool TakeOperator(std::string_view text) {
    if (!AtOperator(text)) return false;
    Take();
    return true;
  }
  bool TakeName(std::string_view text) {
    if (!AtName(text)) return false;
    Take();
    return true;
  }

  Status Fail(const char* what) const;
  /// Counts how deep the parser is; an error beyond the limit.
  Status Enter();
  void Leave() { --depth_; }
  /// An error if the tree has outgrown the limits.
  Status CheckSize() const;

  uint32_t Add(NodeKind kind);
  Node& node(uint32_t index) { return syntax_->nodes[index]; }
  void AddChild(uint32_t parent, uint32_t child);
  void SetChild(uint32_t parent, size_t place, uint32_t child);

  Syntax* syntax_;

 private:
  Result<uint32_t> ParseBinary(int level);
  Result<uint32_t> ParseUnary(bool with_filters);
  Result<uint32_t> ParsePrimary();
  Result<uint32_t> ParseName();
  Result<uint32_t> ParseList();
  Result<uint32_t> ParseMap();
  Result<uint32_t> ParsePostfix(uint32_t value);
  Result<uint32_t> ParseSubscript(uint32_t value);
  Result<uint32_t> ParseFilters(uint32_t value);
  Result<uint32_t> ParseTest(uint32_t value);
  Status ParseArguments(uint32_t call);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  uint32_t depth_ = 0;
  bool too_large_ = false;
};

}  // namespace graft::runtime::chat
