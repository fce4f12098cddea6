// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/generation/reply_reader.h"

#include <cstdio>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/sampling_options.h"

namespace graft_run {

void ReplySettings::AddTo(Options* options) {
  options->String("tools", 0, &tools_file, &has_tools);
  options->String("reply-format", 0, &format, &has_format);
  options->String("tool-choice", 0, &choice, &has_choice);
}

bool ReplySettings::Read() {
  if (format == "auto") format.clear();
  return !has_tools || ReadTextFile(tools_file, &tools);
}

bool ToolNotice::Tell(const graft_model* model, graft_chat_options options,
                      const std::string& text) {
  if (options.tools == nullptr || is_told_) return true;
  is_told_ = true;
  options.tools = nullptr;
  std::string without(text.size(), '\0');
  size_t size = 0;
  graft_error error{};
  const graft_status status = graft_model_render_chat(model, nullptr, 0, &options, without.data(),
                                                      without.size(), &size, &error);
  if (status == GRAFT_OK && size == text.size() && without == text)
    std::fputs("(the chat template does not show the tools to the model)\n", stderr);
  return true;
}

void ReplyReader::SetIn(const ReplySettings& settings, bool answers_tools,
                        graft_generate_options* options) const {
  options->tools = settings.tools_or_null();
  options->reply_format = graft_reply_format(reply_.get());
  if (settings.has_choice && !answers_tools) options->tool_choice = settings.choice.c_str();
}

graft_status ReplyReader::Begin(const graft_model* model, const ReplySettings& settings,
                                const std::string& prompt, graft_error* error) {
  graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
  options.format = settings.format.c_str();
  options.tools = settings.tools_or_null();
  options.prompt = prompt.c_str();
  if (!settings.template_text.empty()) options.template_text = settings.template_text.c_str();
  graft_reply* reply = nullptr;
  const graft_status status = graft_reply_create(model, &options, &reply, error);
  if (status == GRAFT_OK) reply_.reset(reply);
  return status;
}

void ReplyReader::OnPart(void* user, const graft_reply_part* part) {
  auto* const reader = static_cast<ReplyReader*>(user);
  const std::string_view text(part->text, part->size);
  if (part->kind == GRAFT_REPLY_CALL) {
    reader->calls_.push_back({part->id, part->name, std::string(text)});
    if (!reader->shows_) return;
    if (!reader->text_.empty() && !reader->text_.ends_with('\n')) std::fputc('\n', stdout);
    std::printf("-> %s %.*s\n", part->name, static_cast<int>(text.size()), text.data());
    return;
  }
  const bool is_thinking = part->kind == GRAFT_REPLY_THINKING;
  (is_thinking ? reader->thinking_ : reader->text_).append(text);
  std::FILE* const out = is_thinking ? stderr : stdout;
  if (reader->shows_) std::fwrite(text.data(), 1, text.size(), out);
}

graft_status ReplyReader::Append(std::string_view text, graft_error* error) {
  return graft_reply_append(reply_.get(), text.data(), text.size(), OnPart, this, error);
}

graft_status ReplyReader::Finish(graft_error* error) {
  const graft_status status = graft_reply_finish(reply_.get(), OnPart, this, error);
  if (shows_ && !thinking_.empty() && !thinking_.ends_with('\n')) std::fputc('\n', stderr);
  return status;
}

std::string ReplyReader::Message() const {
  std::string message;
  const bool is_made = FillWhole(
      "", 4096, &message, [&](char* room, size_t capacity, size_t* size, graft_error* error) {
        return graft_reply_message(reply_.get(), room, capacity, size, error);
      });
  return is_made ? message : std::string();
}

void ReplyReader::Print(const graft_generate_result& result, graft_status status) const {
  std::vector<JsonObject> calls;
  for (const Call& call : calls_) {
    calls.push_back(JsonObject()
                        .String("id", call.id)
                        .String("name", call.name)
                        .Json("arguments", call.arguments));
  }
  JsonObject()
      .String("text", text_)
      .String("thinking", thinking_)
      .Objects("tool_calls", calls)
      .Integer("prompt_tokens", result.prompt_tokens)
      .Integer("reused_tokens", result.reused_tokens)
      .Integer("generated_tokens", result.generated_tokens)
      .String("stop_reason",
              status == GRAFT_CANCELLED ? "cancelled" : StopReasonName(result.stop_reason))
      .Print();
  std::fflush(stdout);
}

}  // namespace graft_run
