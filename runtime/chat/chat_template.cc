// SPDX-License-Identifier: Apache-2.0
#include "runtime/chat/chat_template.h"

#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/chat/interpreter.h"
#include "runtime/chat/parser.h"
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

Status CheckText(std::string_view text, const char* what, size_t index, size_t* total) {
  *total += text.size();
  if (*total > kMaxInputBytes) {
    return Error(StatusCode::kInvalidArgument, "the messages have more than %zu bytes",
                 kMaxInputBytes);
  }
  if (IsValidUtf8(text)) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "the %s of message %zu is not UTF-8", what, index);
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
  chat::RenderLimits limits;
  limits.output_bytes = kOutputBytes + kOutputBytesPerByte * bytes;
  limits.heap_bytes =
      kHeapBytes + kHeapBytesPerByte * bytes + kHeapBytesPerMessage * messages.size();
  limits.steps = kSteps + kStepsPerByte * bytes + kStepsPerMessage * messages.size();

  chat::Heap heap(limits.heap_bytes);
  GRAFT_ASSIGN_OR_RETURN(chat::List * list, heap.NewList());
  for (const ChatMessage& message : messages) {
    GRAFT_ASSIGN_OR_RETURN(chat::Map * map, heap.NewMap());
    GRAFT_RETURN_IF_ERROR(heap.Set(map, "role", Value::Of(message.role)));
    GRAFT_RETURN_IF_ERROR(heap.Set(map, "content", Value::Of(message.content)));
    GRAFT_RETURN_IF_ERROR(heap.Append(list, Value::Of(map)));
  }
  GRAFT_ASSIGN_OR_RETURN(chat::Scope * globals, heap.NewScope(nullptr));
  const auto define = [&](std::string_view name, Value value) {
    return heap.Set(&globals->names(), name, value);
  };
  GRAFT_RETURN_IF_ERROR(define("messages", Value::Of(list)));
  GRAFT_RETURN_IF_ERROR(define("tools", Value::None()));
  GRAFT_RETURN_IF_ERROR(define("documents", Value::None()));
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
