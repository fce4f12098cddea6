// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that turns messages into the text a model was trained to see.
#include <graft/graft.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/c_api/c_api_support.h"
#include "runtime/chat/chat_template.h"
#include "schema/generated/model_generated.h"

using graft::Error;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

namespace {

std::string TextOf(const flatbuffers::String* text) {
  return text == nullptr ? std::string() : text->str();
}

Status Render(const graft_model* model, const graft_chat_message* messages, size_t message_count,
              const graft_chat_options* options, char* text, size_t capacity, size_t* size) {
  if (model == nullptr) return NullArgument("model");
  if (messages == nullptr && message_count > 0) return NullArgument("messages");
  if (text == nullptr && capacity > 0) return NullArgument("text");
  if (size == nullptr) return NullArgument("size");
  graft_chat_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  std::vector<runtime::ChatMessage> list;
  for (size_t i = 0; i < message_count; ++i) {
    if (messages[i].role == nullptr || messages[i].content == nullptr) {
      return Error(StatusCode::kInvalidArgument, "message %zu has no role or no content", i);
    }
    list.push_back({messages[i].role, messages[i].content});
  }
  if (given.variables == nullptr && given.variable_count > 0) {
    return NullArgument("options.variables");
  }
  std::vector<runtime::ChatVariable> variables;
  for (size_t i = 0; i < given.variable_count; ++i) {
    if (given.variables[i].name == nullptr || given.variables[i].value == nullptr) {
      return Error(StatusCode::kInvalidArgument, "variable %zu has no name or no value", i);
    }
    variables.push_back({given.variables[i].name, given.variables[i].value});
  }
  const auto& header = model->shared->model()->verified().model();
  std::string source = given.template_text != nullptr ? std::string(given.template_text)
                                                      : TextOf(header.chat_template());
  if (source.empty()) {
    return Status(StatusCode::kFailedPrecondition, "the model's file has no chat template");
  }
  GRAFT_ASSIGN_OR_RETURN(const auto parsed, runtime::ChatTemplate::Create(
                                                std::move(source), TextOf(header.bos_token()),
                                                TextOf(header.eos_token())));
  runtime::ChatOptions chat;
  chat.add_generation_prompt = given.without_generation_prompt == 0;
  chat.variables = variables;
  chat.now = static_cast<std::time_t>(given.now_seconds);
  GRAFT_ASSIGN_OR_RETURN(const std::string rendered, parsed->Render(list, chat));
  return CopyOut(rendered, "bytes", text, capacity, size);
}

}  // namespace

graft_status graft_chat_render(const graft_model* model, const graft_chat_message* messages,
                               size_t message_count, const graft_chat_options* options, char* text,
                               size_t capacity, size_t* size, graft_error* error) {
  return Report(Render(model, messages, message_count, options, text, capacity, size), error);
}
