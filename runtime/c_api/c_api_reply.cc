// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that takes a model's replies apart.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <graft/graft.h>
#include "runtime/base/utf8.h"
#include "runtime/c_api/c_api_support.h"
#include "runtime/constrain/characters.h"
#include "runtime/tools/reply_parser.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half
namespace runtime = graft::runtime;

struct graft_reply {
  graft_reply(const runtime::ReplyFormat& format, std::shared_ptr<const runtime::ToolSet> tools,
              bool is_thinking)
      : format_name(format.name.data()), parser(format, std::move(tools), is_thinking) {}

  const char* format_name;  // a literal of the table

  runtime::ReplyParser parser;
  size_t bytes = 0;
  size_t call_count = 0;
  bool is_finished = false;
  std::string content;
  std::string thinking;
  std::string calls;  // as JSON, with commas between
};

namespace {

constexpr size_t kMaxReplyBytes = size_t{64} << 20;

/// Keeps what a reply consists of, and tells the caller.
class Receiver : public runtime::ReplySink {
 public:
  Receiver(graft_reply* reply, graft_reply_callback callback, void* user)
      : reply_(*reply), callback_(callback), user_(user) {}

  void OnText(std::string_view text) override {
    reply_.content.append(text);
    Tell(GRAFT_REPLY_TEXT, text, nullptr, nullptr);
  }
  void OnThinking(std::string_view text) override {
    reply_.thinking.append(text);
    Tell(GRAFT_REPLY_THINKING, text, nullptr, nullptr);
  }
  void OnCall(const runtime::ToolCall& call) override {
    std::string id = call.id;
    if (id.empty()) {  // nine letters and digits, as one family asks for
      char made[16];
      std::snprintf(made, sizeof(made), "call%05zu", reply_.call_count % 100000);
      id = made;
    }
    ++reply_.call_count;
    if (!reply_.calls.empty()) reply_.calls.append(", ");
    reply_.calls.append(R"({"id": )").append(runtime::QuoteJson(id));
    reply_.calls.append(R"(, "type": "function", "function": {"name": )");
    reply_.calls.append(runtime::QuoteJson(call.name)).append(R"(, "arguments": )");
    reply_.calls.append(call.arguments).append("}}");
    Tell(GRAFT_REPLY_CALL, call.arguments, call.name.c_str(), id.c_str());
  }

 private:
  void Tell(int32_t kind, std::string_view text, const char* name, const char* id) {
    if (callback_ == nullptr) return;
    graft_reply_part part{};
    part.struct_size = sizeof(part);
    part.kind = kind;
    part.text = text.data();
    part.size = text.size();
    part.name = name;
    part.id = id;
    callback_(user_, &part);
  }

  graft_reply& reply_;
  graft_reply_callback callback_;
  void* user_;
};

std::string_view View(const char* text) {
  return text == nullptr ? std::string_view() : std::string_view(text);
}

Status Create(const graft_model* model, const graft_reply_options* options, graft_reply** reply) {
  if (reply == nullptr) return NullArgument("reply");
  graft_reply_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  if (model == nullptr && View(given.format).empty()) return NullArgument("model");
  const std::shared_ptr<const ModelState> state = model == nullptr ? nullptr : model->slot->state();
  GRAFT_ASSIGN_OR_RETURN(const runtime::ReplyFormat* const format,
                         FormatNamed(given.format, state.get(), given.template_text));
  std::shared_ptr<const runtime::ToolSet> tools;
  if (given.tools != nullptr) {
    Result<runtime::ToolSet> set = runtime::ToolSet::Parse(given.tools);
    if (!set.ok()) return set.status().WithContext("tools");
    tools = std::make_shared<const runtime::ToolSet>(*std::move(set));
  }
  const bool is_thinking = runtime::OpensThinking(*format, View(given.prompt));
  *reply = std::make_unique<graft_reply>(*format, std::move(tools), is_thinking).release();
  return OkStatus();
}

Status Append(graft_reply* reply, std::string_view text, graft_reply_callback callback,
              void* user) {
  if (reply == nullptr) return NullArgument("reply");
  if (text.data() == nullptr && !text.empty()) return NullArgument("text");
  if (reply->is_finished) {
    return Status(StatusCode::kFailedPrecondition, "the reply is finished");
  }
  if (text.size() > kMaxReplyBytes - reply->bytes) {
    return Error(StatusCode::kOutOfRange, "the reply has more than %zu bytes", kMaxReplyBytes);
  }
  reply->bytes += text.size();
  Receiver receiver(reply, callback, user);
  reply->parser.Append(text, &receiver);
  return OkStatus();
}

Status Finish(graft_reply* reply, graft_reply_callback callback, void* user) {
  if (reply == nullptr) return NullArgument("reply");
  if (std::exchange(reply->is_finished, true)) return OkStatus();
  Receiver receiver(reply, callback, user);
  reply->parser.Finish(&receiver);
  return OkStatus();
}

Status Message(const graft_reply* reply, char* json, size_t capacity, size_t* size) {
  if (reply == nullptr) return NullArgument("reply");
  if (json == nullptr && capacity > 0) return NullArgument("json");
  if (size == nullptr) return NullArgument("size");
  if (!runtime::IsValidUtf8(reply->content) || !runtime::IsValidUtf8(reply->thinking)) {
    return Status(StatusCode::kInvalidArgument, "the reply is not UTF-8");
  }
  std::string text = R"({"role": "assistant", "content": )";
  text.append(runtime::QuoteJson(reply->content));
  if (!reply->thinking.empty()) {
    text.append(R"(, "reasoning_content": )").append(runtime::QuoteJson(reply->thinking));
  }
  if (!reply->calls.empty()) text.append(R"(, "tool_calls": [)").append(reply->calls).append("]");
  text.append("}");
  return CopyOut(text, "bytes", json, capacity, size);
}

}  // namespace

namespace graft::capi {

Result<const runtime::ReplyFormat*> FormatNamed(const char* name, const ModelState* state,
                                                const char* template_text) {
  if (!View(name).empty()) {
    if (const runtime::ReplyFormat* format = runtime::FindReplyFormat(name)) return format;
    std::string known;
    for (const runtime::ReplyFormat& format : runtime::ReplyFormats()) {
      known.append(known.empty() ? "" : ", ").append(format.name);
    }
    return Error(StatusCode::kInvalidArgument,
                 "no format of replies is called \"%.60s\"; known: %s", name, known.c_str());
  }
  const std::string_view source =
      template_text != nullptr ? View(template_text) : state->chat_template.source();
  return &runtime::FormatOf(source, state->text->tokenizer());
}

}  // namespace graft::capi

GRAFT_API graft_status graft_reply_create(const graft_model* model,
                                          const graft_reply_options* options, graft_reply** reply,
                                          graft_error* error) {
  return Call([&] { return Create(model, options, reply); }, error);
}

GRAFT_API void graft_reply_destroy(graft_reply* reply) {
  const std::unique_ptr<graft_reply> owned(reply);
}

GRAFT_API const char* graft_reply_format(const graft_reply* reply) {
  return reply == nullptr ? "" : reply->format_name;
}

GRAFT_API graft_status graft_reply_append(graft_reply* reply, const char* text, size_t size,
                                          graft_reply_callback callback, void* user,
                                          graft_error* error) {
  return Call([&] { return Append(reply, {text, size}, callback, user); }, error);
}

GRAFT_API graft_status graft_reply_finish(graft_reply* reply, graft_reply_callback callback,
                                          void* user, graft_error* error) {
  return Call([&] { return Finish(reply, callback, user); }, error);
}

GRAFT_API graft_status graft_reply_message(const graft_reply* reply, char* json, size_t capacity,
                                           size_t* size, graft_error* error) {
  return Call([&] { return Message(reply, json, capacity, size); }, error);
}
