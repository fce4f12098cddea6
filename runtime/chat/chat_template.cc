// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/chat_template.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/chat/interpreter.h"
#include "runtime/chat/parser.h"
#include "runtime/chat/value_text.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

// What a rendering may take: so much, and so much more for each byte and message it is given. Those
// of known models take less than a hundredth.
constexpr size_t kOutputBytes = size_t{1} << 20;
constexpr size_t kOutputBytesPerByte = 8;
constexpr size_t kHeapBytes = size_t{32} << 20;
constexpr size_t kHeapBytesPerByte = 64;
constexpr size_t kHeapBytesPerMessage = 16384;
constexpr size_t kSteps = 2'000'000;
constexpr size_t kStepsPerByte = 4;
constexpr size_t kStepsPerMessage = 2000;

// Of all messages together.
constexpr size_t kMaxInputBytes = size_t{256} << 20;
constexpr size_t kMaxMessages = 1 << 16;
constexpr size_t kMinMessageBytes = 32;  // of one in JSON, about

Status CheckText(std::string_view text, const char* what, size_t index, size_t* total) {
  *total += text.size();
  if (*total > kMaxInputBytes) {
    return Error(StatusCode::kInvalidArgument, "the messages have more than %zu bytes",
                 kMaxInputBytes);
  }
  if (IsValidUtf8(text)) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "the %s of message %zu is not UTF-8", what, index);
}

/// A list of objects.
Result<chat::List*> ReadObjects(std::string_view json, const char* name, chat::Heap* heap) {
  GRAFT_ASSIGN_OR_RETURN(const chat::Value value, chat::ReadJsonValue(json, name, heap));
  bool is_list = value.IsList();
  GRAFT_ASSIGN_OR_RETURN(chat::List * list, heap->NewList());
  for (size_t i = 0; is_list && i < value.list().items.size(); ++i) {
    is_list = value.list().items[i].IsMap();
    GRAFT_RETURN_IF_ERROR(heap->Append(list, value.list().items[i]));
  }
  if (is_list) return list;
  return Error(StatusCode::kInvalidArgument, "the %s is not one of objects", name);
}

/// The names that a message's thinking goes by, as transformers does it: what the first of them
/// that is there holds is "reasoning_content", and "thinking" if there is none.
Status NameThinking(chat::Value* message, chat::Heap* heap) {
  constexpr std::array<std::string_view, 3> kNames = {"reasoning_content", "thinking", "reasoning"};
  const chat::Value* found = nullptr;
  for (const std::string_view name : kNames) {
    found = message->map().Find(name);
    if (found != nullptr && !found->Is(chat::ValueKind::kNone)) break;
    found = nullptr;
  }
  if (found == nullptr) return OkStatus();
  const chat::Value thinking = *found;
  GRAFT_ASSIGN_OR_RETURN(chat::Map * map, heap->NewMap());
  if (message->map().Find("thinking") == nullptr) {
    GRAFT_RETURN_IF_ERROR(heap->Set(map, "thinking", thinking));
  }
  for (const auto& [name, value] : message->map().members) {
    GRAFT_RETURN_IF_ERROR(heap->Set(map, name, value));
  }
  GRAFT_RETURN_IF_ERROR(heap->Set(map, "reasoning_content", thinking));
  *message = chat::Value::Of(map);
  return OkStatus();
}

/// The content of a message as transformers' processors take it.
Result<chat::Value> PartsOf(const ChatMessage& message, chat::Heap* heap) {
  GRAFT_ASSIGN_OR_RETURN(chat::List * parts, heap->NewList());
  for (size_t i = 0; i < message.pictures; ++i) {
    GRAFT_ASSIGN_OR_RETURN(chat::Map * part, heap->NewMap());
    GRAFT_RETURN_IF_ERROR(heap->Set(part, "type", chat::Value::Of(std::string_view("image"))));
    GRAFT_RETURN_IF_ERROR(heap->Append(parts, chat::Value::Of(part)));
  }
  GRAFT_ASSIGN_OR_RETURN(chat::Map * part, heap->NewMap());
  GRAFT_RETURN_IF_ERROR(heap->Set(part, "type", chat::Value::Of(std::string_view("text"))));
  GRAFT_RETURN_IF_ERROR(heap->Set(part, "text", chat::Value::Of(message.content)));
  GRAFT_RETURN_IF_ERROR(heap->Append(parts, chat::Value::Of(part)));
  return chat::Value::Of(parts);
}

/// The messages as the template sees them.
Result<const chat::List*> MessageList(std::span<const ChatMessage> messages,
                                      const ChatOptions& options, chat::Heap* heap) {
  const std::string_view json = options.messages_json;
  if (json.data() != nullptr) {
    GRAFT_ASSIGN_OR_RETURN(chat::List* const list, ReadObjects(json, "list of messages", heap));
    for (chat::Value& message : list->items) GRAFT_RETURN_IF_ERROR(NameThinking(&message, heap));
    return static_cast<const chat::List*>(list);
  }
  GRAFT_ASSIGN_OR_RETURN(chat::List * list, heap->NewList());
  for (const ChatMessage& message : messages) {
    GRAFT_ASSIGN_OR_RETURN(chat::Map * map, heap->NewMap());
    GRAFT_RETURN_IF_ERROR(heap->Set(map, "role", chat::Value::Of(message.role)));
    chat::Value content = chat::Value::Of(message.content);
    if (options.in_parts) {
      GRAFT_ASSIGN_OR_RETURN(content, PartsOf(message, heap));
    }
    GRAFT_RETURN_IF_ERROR(heap->Set(map, "content", content));
    GRAFT_RETURN_IF_ERROR(heap->Append(list, chat::Value::Of(map)));
  }
  return static_cast<const chat::List*>(list);
}

/// Defines what the caller gives as JSON.
Status DefineJson(const ChatOptions& options, chat::Heap* heap, chat::Map* names) {
  const auto define_list = [&](const char* name, const char* whole,
                               std::string_view json) -> Status {
    if (json.empty()) return heap->Set(names, name, chat::Value::None());
    GRAFT_ASSIGN_OR_RETURN(const chat::List* const list, ReadObjects(json, whole, heap));
    return heap->Set(names, name, chat::Value::Of(list));
  };
  GRAFT_RETURN_IF_ERROR(define_list("tools", "list of tools", options.tools_json));
  GRAFT_RETURN_IF_ERROR(define_list("documents", "list of documents", options.documents_json));
  if (options.variables_json.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const chat::Value variables,
                         chat::ReadJsonValue(options.variables_json, "object of variables", heap));
  if (!variables.IsMap()) {
    return Status(StatusCode::kInvalidArgument, "the variables are not an object");
  }
  for (const auto& [name, value] : variables.map().members) {
    GRAFT_RETURN_IF_ERROR(heap->Set(names, name, value));
  }
  return OkStatus();
}

std::string TextOf(const flatbuffers::String* text) {
  return text == nullptr ? std::string() : text->str();
}

}  // namespace

ChatTemplate::~ChatTemplate() = default;

Result<std::unique_ptr<const ChatTemplate>> ChatTemplate::Create(std::string source,
                                                                 std::string bos_token,
                                                                 std::string eos_token) {
  auto syntax = chat::ParseTemplate(std::move(source));
  if (!syntax.ok()) return syntax.status().WithContext("chat template");
  if (!IsValidUtf8(bos_token) || !IsValidUtf8(eos_token)) {
    return Status(StatusCode::kCorrupt, "a token of the chat template is not UTF-8");
  }
  std::unique_ptr<ChatTemplate> result(new ChatTemplate());
  result->syntax_ = std::move(syntax).value();
  result->bos_token_ = std::move(bos_token);
  result->eos_token_ = std::move(eos_token);
  return std::unique_ptr<const ChatTemplate>(std::move(result));
}

Result<std::string> ChatTemplate::Render(std::span<const ChatMessage> messages,
                                         const ChatOptions& options) const {
  using chat::Value;
  if (messages.size() > kMaxMessages) {
    return Error(StatusCode::kInvalidArgument, "%zu messages exceed %zu", messages.size(),
                 kMaxMessages);
  }
  size_t bytes = 0;
  for (size_t i = 0; i < messages.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckText(messages[i].role, "role", i, &bytes));
    GRAFT_RETURN_IF_ERROR(CheckText(messages[i].content, "content", i, &bytes));
  }
  for (size_t i = 0; i < options.variables.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(CheckText(options.variables[i].value, "variable", i, &bytes));
  }
  const std::string_view texts[] = {options.messages_json, options.tools_json,
                                    options.documents_json, options.variables_json};
  for (const std::string_view text : texts) bytes += text.size();  // their reader checks them
  chat::RenderLimits limits;
  limits.output_bytes = kOutputBytes + kOutputBytesPerByte * bytes;
  const size_t count =
      messages.size() + std::min(options.messages_json.size() / kMinMessageBytes, kMaxMessages);
  limits.heap_bytes = kHeapBytes + kHeapBytesPerByte * bytes + kHeapBytesPerMessage * count;
  limits.steps = kSteps + kStepsPerByte * bytes + kStepsPerMessage * count;

  chat::Heap heap(limits.heap_bytes);
  GRAFT_ASSIGN_OR_RETURN(const chat::List* const list, MessageList(messages, options, &heap));
  GRAFT_ASSIGN_OR_RETURN(chat::Scope * globals, heap.NewScope(nullptr));
  const auto define = [&](std::string_view name, Value value) {
    return heap.Set(&globals->names(), name, value);
  };
  GRAFT_RETURN_IF_ERROR(define("messages", Value::Of(list)));
  GRAFT_RETURN_IF_ERROR(DefineJson(options, &heap, &globals->names()));
  GRAFT_RETURN_IF_ERROR(define("add_generation_prompt", Value::Of(options.add_generation_prompt)));
  if (!bos_token_.empty()) {
    GRAFT_RETURN_IF_ERROR(define("bos_token", Value::Of(std::string_view(bos_token_))));
  }
  if (!eos_token_.empty()) {
    GRAFT_RETURN_IF_ERROR(define("eos_token", Value::Of(std::string_view(eos_token_))));
  }
  for (const ChatVariable& variable : options.variables) {
    const bool is_truth = variable.value == "true" || variable.value == "false";
    GRAFT_RETURN_IF_ERROR(define(
        variable.name, is_truth ? Value::Of(variable.value == "true") : Value::Of(variable.value)));
  }
  std::string text;
  chat::Interpreter interpreter(*syntax_, heap, limits,
                                options.now != 0 ? options.now : std::time(nullptr));
  const Status status = interpreter.Run(globals, &text);
  if (!status.ok()) return status.WithContext("chat template");
  return text;
}

bool ModelTemplate::exists() const {
  return file_.chat_template() != nullptr && file_.chat_template()->size() > 0;
}

std::string_view ModelTemplate::source() const {
  return exists() ? file_.chat_template()->string_view() : std::string_view();
}

Result<const ChatTemplate*> ModelTemplate::Get() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (parsed_ != nullptr) return parsed_.get();
  if (!exists()) {
    return Status(StatusCode::kFailedPrecondition, "the model's file has no chat template");
  }
  GRAFT_ASSIGN_OR_RETURN(parsed_, Parse(TextOf(file_.chat_template())));
  return parsed_.get();
}

Result<std::unique_ptr<const ChatTemplate>> ModelTemplate::Parse(std::string source) const {
  return ChatTemplate::Create(std::move(source), TextOf(file_.bos_token()),
                              TextOf(file_.eos_token()));
}

}  // namespace graft::runtime
