// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that turns messages into the text a model was trained to see.
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/chat/chat_template.h"
#include "runtime/session/saved_session.h"

using graft::Error;
using graft::OkStatus;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

namespace {

Status ReadMessages(const graft_chat_message* messages, size_t count,
                    std::vector<runtime::ChatMessage>* read) {
  if (messages == nullptr && count > 0) return NullArgument("messages");
  read->resize(count);
  for (size_t i = 0; i < count; ++i) {
    if (messages[i].role == nullptr || messages[i].content == nullptr) {
      return Error(StatusCode::kInvalidArgument, "message %zu has no role or no content", i);
    }
    (*read)[i] = {messages[i].role, messages[i].content};
  }
  return OkStatus();
}

Status ReadPictureCounts(const size_t* counts, std::vector<runtime::ChatMessage>* messages) {
  size_t total = 0;
  for (size_t i = 0; i < messages->size(); ++i) {
    (*messages)[i].pictures = counts[i];
    if (counts[i] <= runtime::kMaxPictures && (total += counts[i]) <= runtime::kMaxPictures)
      continue;
    return Error(StatusCode::kOutOfRange, "message %zu has %zu pictures; at most %zu are possible",
                 i, counts[i], runtime::kMaxPictures);
  }
  return OkStatus();
}

Status ReadVariables(const graft_chat_options& options, std::vector<runtime::ChatVariable>* read) {
  if (options.variables == nullptr && options.variable_count > 0) {
    return NullArgument("options.variables");
  }
  read->resize(options.variable_count);
  for (size_t i = 0; i < options.variable_count; ++i) {
    const graft_chat_variable& variable = options.variables[i];
    if (variable.name == nullptr || variable.value == nullptr) {
      return Error(StatusCode::kInvalidArgument, "variable %zu has no name or no value", i);
    }
    (*read)[i] = {variable.name, variable.value};
  }
  return OkStatus();
}

Status Render(const graft_model* model, const graft_chat_message* messages, size_t message_count,
              const graft_chat_options* options, char* text, size_t capacity, size_t* size) {
  if (model == nullptr) return NullArgument("model");
  if (text == nullptr && capacity > 0) return NullArgument("text");
  if (size == nullptr) return NullArgument("size");
  graft_chat_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  if (given.messages_json != nullptr && message_count > 0) {
    return Status(StatusCode::kInvalidArgument, "messages and messages_json are given");
  }
  std::vector<runtime::ChatMessage> list;
  GRAFT_RETURN_IF_ERROR(ReadMessages(messages, message_count, &list));
  if (given.message_pictures != nullptr)
    GRAFT_RETURN_IF_ERROR(ReadPictureCounts(given.message_pictures, &list));
  std::vector<runtime::ChatVariable> variables;
  GRAFT_RETURN_IF_ERROR(ReadVariables(given, &variables));
  const std::shared_ptr<const ModelState> state = model->slot->state();
  std::unique_ptr<const runtime::ChatTemplate> callers;
  const runtime::ChatTemplate* chosen = nullptr;
  if (given.template_text != nullptr && *given.template_text != '\0') {
    GRAFT_ASSIGN_OR_RETURN(callers, state->chat_template.Parse(given.template_text));
    chosen = callers.get();
  } else if (given.template_text == nullptr) {
    GRAFT_ASSIGN_OR_RETURN(chosen, state->chat_template.Get());
  } else {
    return Status(StatusCode::kFailedPrecondition, "the model's file has no chat template");
  }
  runtime::ChatOptions chat;
  chat.add_generation_prompt = given.without_generation_prompt == 0;
  chat.variables = variables;
  const auto view = [](const char* text) {
    return text == nullptr ? std::string_view() : std::string_view(text);
  };
  chat.messages_json = view(given.messages_json);
  chat.tools_json = view(given.tools);
  chat.documents_json = view(given.documents);
  chat.variables_json = view(given.variables_json);
  chat.in_parts = given.message_pictures != nullptr;
  chat.now = static_cast<std::time_t>(given.now_seconds);
  GRAFT_ASSIGN_OR_RETURN(const std::string rendered, chosen->Render(list, chat));
  return CopyOut(rendered, "bytes", text, capacity, size);
}

}  // namespace

GRAFT_API graft_status graft_model_render_chat(const graft_model* model,
                                               const graft_chat_message* messages,
                                               size_t message_count,
                                               const graft_chat_options* options, char* text,
                                               size_t capacity, size_t* size, graft_error* error) {
  return Call([&] { return Render(model, messages, message_count, options, text, capacity, size); },
              error);
}
