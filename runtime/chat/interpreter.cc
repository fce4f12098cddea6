// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/interpreter.h"

#include <algorithm>
#include <iterator>

#include "runtime/chat/builtins.h"
#include "runtime/chat/value_text.h"

namespace graft::runtime::chat {
namespace {

// Each level takes some hundred bytes of the caller's stack.
constexpr uint32_t kMaxDepth = 200;

}  // namespace

const Value* Arguments::Find(size_t place, std::string_view name) const {
  for (const auto& [given, value] : all_) {
    if (!given.empty() && given == name) return &value;
  }
  if (place < all_.size() && all_[place].first.empty()) return &all_[place].second;
  return nullptr;
}

Arguments Arguments::From(size_t count) const {
  Arguments rest;
  for (size_t i = count; i < all_.size(); ++i) rest.Add(all_[i].first, all_[i].second);
  return rest;
}

Status Interpreter::OutOfSteps() {
  steps_left_ = 0;
  return Error(StatusCode::kOutOfRange, "it takes more than %zu steps", limits_.steps);
}

Status Interpreter::EnterNode() {
  if (++depth_ > kMaxDepth) {
    return Error(StatusCode::kOutOfRange, "it is nested deeper than %u levels", kMaxDepth);
  }
  return Spend(1);
}

Status Interpreter::Run(Scope* globals, std::string* out) {
  globals_ = globals;
  GRAFT_ASSIGN_OR_RETURN(Scope * scope, heap_.NewScope(globals));
  return Execute(syntax_.root, scope, out).status();
}

Status Interpreter::Write(Value value, std::string* out) {
  if (value.Is(ValueKind::kUndefined)) return OkStatus();
  const size_t before = out->size();
  GRAFT_RETURN_IF_ERROR(AppendTextOf(value, limits_.output_bytes, out));
  return heap_.Charge(out->size() - before);
}

Result<Interpreter::Flow> Interpreter::Execute(uint32_t index, Scope* scope, std::string* out) {
  GRAFT_RETURN_IF_ERROR(EnterNode());
  Result<Flow> flow = ExecuteStatement(node(index), index, scope, out);
  --depth_;
  if (!flow.ok() && !has_line_ && node(index).kind != NodeKind::kBlock) {
    has_line_ = true;
    return flow.status().WithContext("line " + std::to_string(node(index).line));
  }
  return flow;
}

Result<Interpreter::Flow> Interpreter::ExecuteIf(const Node& statement, Scope* scope,
                                                 std::string* out) {
  GRAFT_ASSIGN_OR_RETURN(const Value condition, Evaluate(statement.children[0], scope));
  if (condition.IsTrue()) return Execute(statement.children[1], scope, out);
  if (statement.children.size() > 2) return Execute(statement.children[2], scope, out);
  return Flow::kNext;
}

Status Interpreter::DefineMacro(const Node& statement, uint32_t index, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(Function * macro, heap_.NewFunction());
  macro->kind = Function::Kind::kMacro;
  macro->name = statement.text;
  macro->node = index;
  macro->scope = scope;
  return Set(&scope->names(), statement.text, Value::Of(macro));
}

// {% call f() %}...{% endcall %}: f may run the block as caller().
Result<Value> Interpreter::CallWithBlock(const Node& statement, Scope* scope) {
  GRAFT_ASSIGN_OR_RETURN(Function * caller, heap_.NewFunction());
  caller->kind = Function::Kind::kCaller;
  caller->name = "caller";
  caller->node = statement.children[1];
  caller->scope = scope;
  return EvaluateCall(node(statement.children[0]), scope, caller);
}

Result<Interpreter::Flow> Interpreter::ExecuteStatement(const Node& statement, uint32_t index,
                                                        Scope* scope, std::string* out) {
  switch (statement.kind) {
    case NodeKind::kText:
      GRAFT_RETURN_IF_ERROR(Write(Value::Of(statement.text), out));
      return Flow::kNext;
    case NodeKind::kOutput: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(statement.children[0], scope));
      GRAFT_RETURN_IF_ERROR(Write(value, out));
      return Flow::kNext;
    }
    case NodeKind::kBlock:
      for (const uint32_t child : statement.children) {
        GRAFT_ASSIGN_OR_RETURN(const Flow flow, Execute(child, scope, out));
        if (flow != Flow::kNext) return flow;
      }
      return Flow::kNext;
    case NodeKind::kIf:
      return ExecuteIf(statement, scope, out);
    case NodeKind::kFor:
      return ExecuteFor(statement, scope, out);
    case NodeKind::kSet: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(statement.children[1], scope));
      GRAFT_RETURN_IF_ERROR(Assign(statement.children[0], value, scope));
      return Flow::kNext;
    }
    case NodeKind::kSetBlock: {
      GRAFT_ASSIGN_OR_RETURN(Value value, Capture(statement.children[1], scope));
      GRAFT_ASSIGN_OR_RETURN(value, Filtered(statement, value));
      GRAFT_RETURN_IF_ERROR(Assign(statement.children[0], value, scope));
      return Flow::kNext;
    }
    case NodeKind::kFilterBlock: {
      GRAFT_ASSIGN_OR_RETURN(Value value, Capture(statement.children[0], scope));
      GRAFT_ASSIGN_OR_RETURN(value, Filtered(statement, value));
      GRAFT_RETURN_IF_ERROR(Write(value, out));
      return Flow::kNext;
    }
    case NodeKind::kMacro:
      GRAFT_RETURN_IF_ERROR(DefineMacro(statement, index, scope));
      return Flow::kNext;
    case NodeKind::kCallBlock: {
      GRAFT_ASSIGN_OR_RETURN(const Value value, CallWithBlock(statement, scope));
      GRAFT_RETURN_IF_ERROR(Write(value, out));
      return Flow::kNext;
    }
    case NodeKind::kBreak:
      return Flow::kBreak;
    case NodeKind::kContinue:
      return Flow::kContinue;
    default:
      return Status(StatusCode::kInternal, "an expression where a statement should be");
  }
}

Result<Value> Interpreter::Capture(uint32_t body, Scope* scope) {
  std::string text;
  GRAFT_ASSIGN_OR_RETURN(Scope * inner, heap_.NewScope(scope));
  GRAFT_RETURN_IF_ERROR(Execute(body, inner, &text).status());
  return heap_.Text(std::move(text));
}

Result<Value> Interpreter::Filtered(const Node& statement, Value value) {
  for (const std::string_view name : statement.names) {
    GRAFT_RETURN_IF_ERROR(Spend(1));
    GRAFT_ASSIGN_OR_RETURN(value, ApplyFilter(*this, name, value, {}));
  }
  return value;
}

Status Interpreter::Assign(uint32_t target, Value value, Scope* scope) {
  const Node& to = node(target);
  if (to.kind == NodeKind::kName) return Set(&scope->names(), to.text, value);
  if (to.kind == NodeKind::kMember) {
    size_t compared = 0;
    const Value* object = scope->Find(node(to.children[0]).text, &compared);
    GRAFT_RETURN_IF_ERROR(Spend(compared / kComparisonsPerStep));
    if (object == nullptr || !object->Is(ValueKind::kNamespace)) {
      return Status(StatusCode::kCorrupt, "only members of a namespace can be set");
    }
    return Set(&object->map(), to.text, value);
  }
  GRAFT_ASSIGN_OR_RETURN(const List* parts, Elements(value));
  if (parts->items.size() != to.children.size()) {
    return Error(StatusCode::kCorrupt, "%zu values for %zu names", parts->items.size(),
                 to.children.size());
  }
  for (size_t i = 0; i < to.children.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(Assign(to.children[i], parts->items[i], scope));
  }
  return OkStatus();
}

Result<const List*> Interpreter::Select(const Node& loop, const List* all, Scope* scope) {
  if (node(loop.children[2]).kind == NodeKind::kUndefined) return all;
  GRAFT_ASSIGN_OR_RETURN(List * chosen, heap_.NewList());
  for (const Value item : all->items) {
    GRAFT_ASSIGN_OR_RETURN(Scope * inner, heap_.NewScope(scope));
    GRAFT_RETURN_IF_ERROR(Assign(loop.children[0], item, inner));
    GRAFT_ASSIGN_OR_RETURN(const Value keep, Evaluate(loop.children[2], inner));
    if (keep.IsTrue()) GRAFT_RETURN_IF_ERROR(heap_.Append(chosen, item));
  }
  return chosen;
}

// Behind cycle, always in this order: nothing is looked for.
void Interpreter::SetLoop(Map* loop, const List& items, size_t i) {
  const auto count = static_cast<int64_t>(items.items.size());
  const auto place = static_cast<int64_t>(i);
  const std::pair<std::string_view, Value> members[] = {
      {"index", Value::Of(place + 1)},
      {"index0", Value::Of(place)},
      {"revindex", Value::Of(count - place)},
      {"revindex0", Value::Of(count - place - 1)},
      {"first", Value::Of(place == 0)},
      {"last", Value::Of(place + 1 == count)},
      {"length", Value::Of(count)},
      {"previtem", i == 0 ? Value::Undefined("loop.previtem") : items.items[i - 1]},
      {"nextitem", place + 1 == count ? Value::Undefined("loop.nextitem") : items.items[i + 1]}};
  loop->members.resize(1);
  loop->members.insert(loop->members.end(), std::begin(members), std::end(members));
}

Result<Interpreter::Flow> Interpreter::ExecuteFor(const Node& loop, Scope* scope,
                                                  std::string* out) {
  GRAFT_ASSIGN_OR_RETURN(const Value sequence, Evaluate(loop.children[1], scope));
  GRAFT_ASSIGN_OR_RETURN(const List* all, Elements(sequence));
  GRAFT_ASSIGN_OR_RETURN(const List* items, Select(loop, all, scope));
  if (items->items.empty()) {
    if (loop.children.size() > 4) return Execute(loop.children[4], scope, out);
    return Flow::kNext;
  }
  GRAFT_ASSIGN_OR_RETURN(Map * state, heap_.NewMap());
  GRAFT_ASSIGN_OR_RETURN(Function * cycle, heap_.NewFunction());
  cycle->name = "cycle";
  cycle->self = Value::Of(state);
  state->Set("cycle", Value::Of(cycle));
  for (size_t i = 0; i < items->items.size(); ++i) {
    SetLoop(state, *items, i);
    // What is set inside is forgotten with each round.
    GRAFT_ASSIGN_OR_RETURN(Scope * inner, heap_.NewScope(scope));
    GRAFT_RETURN_IF_ERROR(Set(&inner->names(), "loop", Value::Of(state)));
    GRAFT_RETURN_IF_ERROR(Assign(loop.children[0], items->items[i], inner));
    GRAFT_ASSIGN_OR_RETURN(const Flow flow, Execute(loop.children[3], inner, out));
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Result<Arguments> Interpreter::ReadArguments(const Node& call, Scope* scope) {
  Arguments arguments;
  for (size_t i = 1; i < call.children.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const Value value, Evaluate(call.children[i], scope));
    arguments.Add(call.names[i - 1], value);
  }
  return arguments;
}

Result<Value> Interpreter::EvaluateCall(const Node& expression, Scope* scope,
                                        const Function* caller) {
  GRAFT_ASSIGN_OR_RETURN(const Value callee, Evaluate(expression.children[0], scope));
  GRAFT_ASSIGN_OR_RETURN(Arguments arguments, ReadArguments(expression, scope));
  if (!callee.Is(ValueKind::kFunction)) {
    const std::string_view name =
        callee.Is(ValueKind::kUndefined) ? callee.text() : node(expression.children[0]).text;
    return Error(StatusCode::kCorrupt, "'%.*s' is %s and cannot be called",
                 static_cast<int>(std::min<size_t>(name.size(), 60)), name.data(),
                 callee.type_name());
  }
  if (caller != nullptr) arguments.Add("caller", Value::Of(caller));
  return Call(callee.function(), arguments);
}

Result<Value> Interpreter::Call(const Function& function, const Arguments& arguments) {
  switch (function.kind) {
    case Function::Kind::kMethod:
      return CallMethod(*this, function.self, function.name, arguments);
    case Function::Kind::kGlobal:
      return CallGlobal(*this, function.name, function.self, arguments);
    case Function::Kind::kCaller:
      return Capture(function.node, function.scope);
    case Function::Kind::kMacro:
      break;
  }
  return CallMacro(function, arguments);
}

Result<Value> Interpreter::CallMacro(const Function& function, const Arguments& arguments) {
  const Node& macro = node(function.node);
  GRAFT_ASSIGN_OR_RETURN(Scope * inner, heap_.NewScope(function.scope));
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view name = arguments.name(i);
    const bool is_known = name == "caller" || std::find(macro.names.begin(), macro.names.end(),
                                                        name) != macro.names.end();
    if (name.empty() ? i >= macro.names.size() : !is_known) {
      return Error(StatusCode::kCorrupt, "macro '%.*s' has no such argument",
                   static_cast<int>(std::min<size_t>(macro.text.size(), 60)), macro.text.data());
    }
  }
  const size_t defaults = macro.children.size() - 1;
  for (size_t i = 0; i < macro.names.size(); ++i) {
    Value value = Value::Undefined(macro.names[i]);
    if (const Value* given = arguments.Find(i, macro.names[i]); given != nullptr) {
      value = *given;
    } else if (i + defaults >= macro.names.size()) {
      const size_t place = i + defaults - macro.names.size();
      GRAFT_ASSIGN_OR_RETURN(value, Evaluate(macro.children[1 + place], inner));
    }
    GRAFT_RETURN_IF_ERROR(Set(&inner->names(), macro.names[i], value));
  }
  if (const Value* caller = arguments.Find(SIZE_MAX, "caller"); caller != nullptr) {
    GRAFT_RETURN_IF_ERROR(Set(&inner->names(), "caller", *caller));
  }
  std::string text;
  GRAFT_RETURN_IF_ERROR(Execute(macro.children[0], inner, &text).status());
  return heap_.Text(std::move(text));
}

}  // namespace graft::runtime::chat
