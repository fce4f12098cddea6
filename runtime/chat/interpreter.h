// SPDX-License-Identifier: Apache-2.0
// Runs a parsed chat template within bounds: every step, every byte made and every level is
// counted.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/chat/syntax.h"
#include "runtime/chat/value.h"
#include "runtime/chat/value_text.h"
#include "schema/result.h"

namespace graft::runtime::chat {

struct RenderLimits {
  size_t output_bytes = 0;
  size_t heap_bytes = 0;  ///< of all values made on the way, together
  size_t steps = 0;
};

/// What a filter, a test or a call is given.
class Arguments {
 public:
  void Add(std::string_view name, Value value) { all_.emplace_back(name, value); }
  size_t size() const { return all_.size(); }
  Value at(size_t place) const { return all_[place].second; }
  std::string_view name(size_t place) const { return all_[place].first; }
  /// The argument called `name`, or the one at `place` if it has no name; null if there is neither.
  const Value* Find(size_t place, std::string_view name) const;
  /// What comes after the first `count` arguments.
  Arguments From(size_t count) const;

 private:
  std::vector<std::pair<std::string_view, Value>> all_;
};

class Interpreter {
 public:
  /// `syntax` and `heap` must outlive this.
  Interpreter(const Syntax& syntax, Heap& heap, const RenderLimits& limits, std::time_t now)
      : syntax_(syntax), heap_(heap), limits_(limits), steps_left_(limits.steps), now_(now) {}

  /// Renders into *out with the names of `globals`.
  /// Errors   kOutOfRange: a limit;
  ///          kInvalidArgument: the template refuses what it was given, by raise_exception;
  ///          kCorrupt: an operation that Python has not. Messages name the line.
  Status Run(Scope* globals, std::string* out);

  // For what is built in.
  Heap& heap() { return heap_; }
  std::time_t now() const { return now_; }
  Status Spend(size_t steps) {
    if (steps > steps_left_) return OutOfSteps();
    steps_left_ -= steps;
    return OkStatus();
  }
  Result<bool> AreEqual(Value a, Value b);
  /// Where `wanted` starts in `text` at or after `from`, or for the last time; npos: nowhere.
  Result<size_t> Find(std::string_view text, std::string_view wanted, size_t from);
  Result<size_t> FindLast(std::string_view text, std::string_view wanted);
  /// The member's value; null if there is none.
  Result<const Value*> Find(const Map& map, std::string_view name);
  Status Set(Map* map, std::string_view name, Value value);
  /// What str() makes of a value.
  Result<Value> TextOf(Value value);
  Status AppendTextOf(Value value, size_t max_bytes, std::string* out);
  Status AppendJsonOf(Value value, const JsonStyle& style, std::string* out);
  /// The elements of what a loop may run over; `what` names the place in messages.
  Result<const List*> Elements(Value value);
  /// object.name and object[name].
  Result<Value> MemberOf(Value object, std::string_view name, bool item_first);
  Result<Value> ItemOf(Value object, Value index);
  Result<Value> Call(const Function& function, const Arguments& arguments);
  Result<bool> Contains(Value container, Value element);
  /// -1, 0 or 1.
  Result<int> Compare(Value a, Value b);

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };

  const Node& node(uint32_t index) const { return syntax_.nodes[index]; }
  Status EnterNode();
  Status OutOfSteps();
  Status Write(Value value, std::string* out);
  Result<Flow> Execute(uint32_t index, Scope* scope, std::string* out);
  Result<Flow> ExecuteStatement(const Node& statement, uint32_t index, Scope* scope,
                                std::string* out);
  Result<Flow> ExecuteIf(const Node& statement, Scope* scope, std::string* out);
  Status DefineMacro(const Node& statement, uint32_t index, Scope* scope);
  Result<Value> CallWithBlock(const Node& statement, Scope* scope);
  Result<Flow> ExecuteFor(const Node& loop, Scope* scope, std::string* out);
  Result<const List*> Select(const Node& loop, const List* all, Scope* scope);
  static void SetLoop(Map* loop, const List& items, size_t i);
  Status Assign(uint32_t target, Value value, Scope* scope);
  Result<Value> Capture(uint32_t body, Scope* scope);
  Result<Value> Filtered(const Node& statement, Value value);

  Result<Value> Evaluate(uint32_t index, Scope* scope);
  Result<Value> EvaluateNode(const Node& expression, Scope* scope);
  Result<bool> StartsAt(std::string_view text, std::string_view wanted, size_t at);
  Result<Value> EvaluateName(const Node& expression, Scope* scope);
  Result<Value> EvaluateUnary(const Node& expression, Scope* scope);
  Result<Value> EvaluateChoice(const Node& expression, Scope* scope);
  Result<Value> EvaluateFilterOrTest(const Node& expression, Scope* scope);
  Result<Value> EvaluateBinary(const Node& expression, Scope* scope);
  Result<Value> EvaluateSlice(const Node& expression, Scope* scope);
  Result<Value> EvaluateMap(const Node& expression, Scope* scope);
  Result<Value> EvaluateCall(const Node& expression, Scope* scope, const Function* caller);
  Result<Value> CallMacro(const Function& function, const Arguments& arguments);
  Result<Value> ListOf(const Node& expression, Scope* scope);
  Result<Arguments> ReadArguments(const Node& call, Scope* scope);

  const Syntax& syntax_;
  Heap& heap_;
  const RenderLimits limits_;
  size_t steps_left_;
  const std::time_t now_;
  uint32_t depth_ = 0;
  Scope* globals_ = nullptr;
  bool has_line_ = false;  // the error at hand names its line already
};

}  // namespace graft::runtime::chat
