// SPDX-License-Identifier: Apache-2.0
// graft-run chat: a conversation with the model, by its own chat template, from a terminal or a
// pipe.
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/generation/constraint_options.h"
#include "platforms/embedded_linux/generation/draft_options.h"
#include "platforms/embedded_linux/generation/reply_reader.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/sampling_options.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/pictures/text_pictures.h"

namespace graft_run {
namespace {

constexpr char kCommands[] =
    "  /reset          forget the talk\n"
    "  /system TEXT    forget the talk, and start with this instruction (none: without one)\n"
    "  /image FILE     show this picture with the next message\n"
    "  /pack FILE      go on with what this pack makes of the model (none: with the model)\n"
    "  /tool TEXT      the result of the first call that has none; the last of them is answered\n"
    "  /help           this list\n"
    "  /exit           end; so does the end of input\n"
    "A line that ends with \\ goes on in the next. Ctrl-C stops the answer.\n";

struct Settings {
  std::string file;
  std::string system;
  bool has_system = false;
  std::string template_file;
  bool has_template_file = false;
  std::vector<std::string> set;
  std::vector<std::string> images;
  SamplingOptions sampling{/*default_max_tokens=*/1024};
  ConstraintOptions constraint;
  ReplySettings reply;
  bool json = false;
  DraftOptions draft;
  ThreadOptions threads;
  uint64_t context = 0;
  int32_t kv_format = GRAFT_KV_AUTO;
  CacheOptions cache;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  Options options;
  settings->cache.AddTo(&options);
  options.String("system", 's', &settings->system, &settings->has_system);
  options.String("template", 0, &settings->template_file, &settings->has_template_file);
  options.StringList("set", &settings->set);
  options.StringList("image", &settings->images);
  settings->sampling.AddTo(&options);
  settings->constraint.AddTo(&options);
  settings->reply.AddTo(&options);
  options.Flag("json", &settings->json);
  settings->draft.AddTo(&options);
  settings->threads.AddTo(&options);
  options.Integer("context", 'c', &settings->context, 1, kMaxContextTokens);
  std::string kv = "auto";
  options.String("kv", 0, &kv, nullptr);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty())
    return problem;
  if (std::string problem = settings->reply.Check(); !problem.empty()) return problem;
  if (std::string problem = settings->constraint.Check(); !problem.empty()) return problem;
  if (std::string problem = settings->sampling.Check(); !problem.empty()) return problem;
  for (const std::string& pair : settings->set)
    if (pair.find('=') == std::string::npos || pair[0] == '=') return "--set takes NAME=VALUE";
  return ParseKvFormat(kv, &settings->kv_format);
}

struct Turn {
  std::string role;
  std::string message;  // in JSON
  size_t pictures = 0;  // of the talk's, one turn's after the other's
};

/// An answer as it comes.
struct Answer {
  std::string text;               // as the model writes it
  ReplyReader* reader = nullptr;  // null: it is shown as it is
  graft_status status = GRAFT_OK;
  graft_error error{};
};

int32_t OnToken(void* user, int32_t, const char* text, size_t size) {
  auto* const answer = static_cast<Answer*>(user);
  answer->text.append(text, size);
  if (size == 0) return 0;
  if (answer->reader == nullptr) {
    std::fwrite(text, 1, size, stdout);
  } else if (answer->status == GRAFT_OK) {
    answer->status = answer->reader->Append({text, size}, &answer->error);
    if (answer->status != GRAFT_OK) return 1;
  }
  return std::fflush(stdout) == 0 ? 0 : 1;  // nobody reads any more
}

/// The conversation so far, and the session that holds what was computed of it.
class Conversation {
 public:
  Conversation(const Settings& settings, graft_model* model, graft_session* session,
               uint64_t context, std::string template_text)
      : settings_(settings),
        model_(model),
        session_(session),
        context_(context),
        takes_pictures_(InfoOf(model).takes_pictures != 0),
        template_text_(std::move(template_text)) {
    for (const std::string& pair : settings.set) {
      const size_t equals = pair.find('=');
      names_.push_back(pair.substr(0, equals));
      values_.push_back(pair.substr(equals + 1));
    }
    if (settings.has_system) Reset(settings.system);
  }

  /// The talk goes on with another model.
  bool Swap(const std::string& pack_file) { return SwapModel(settings_.file, model_, pack_file); }

  /// Shows a picture with the next message; false after a failure, which has been printed.
  bool AddPicture(const std::string& file) {
    if (takes_pictures_) return pictures_.Add(file) && ++pictures_of_next_ > 0;
    Fail(settings_.file, "the model takes no pictures");
    return false;
  }

  void Reset() {
    turns_.resize(has_system_ ? 1 : 0);
    calls_.clear();
    pictures_.RemoveFirst(pictures_.size() - pictures_of_next_);
  }
  void Reset(const std::string& system) {
    has_system_ = false;
    Reset();
    has_system_ = !system.empty();
    if (has_system_) turns_.push_back(TextTurn("system", system));
  }

  /// Answers `text`, showing the answer as it comes. What fails is printed and forgotten; false
  /// then.
  bool AnswerMessage(const std::string& text) {
    calls_.clear();
    const size_t pictures = std::exchange(pictures_of_next_, 0);
    return Respond(TextTurn("user", text, pictures));
  }

  /// The result of the first call that has none. The last is answered.
  bool TakeResult(const std::string& text) {
    if (calls_.empty()) {
      Fail("", "no call waits for a result");
      return false;
    }
    const ReplyReader::Call call = calls_.front();
    JsonObject message;
    message.String("role", "tool").String("tool_call_id", call.id).String("name", call.name);
    Turn turn = {"tool", message.String("content", text).Text()};
    calls_.erase(calls_.begin());
    if (calls_.empty()) return Respond(std::move(turn));
    turns_.push_back(std::move(turn));
    return true;
  }

 private:
  Turn TextTurn(const std::string& role, const std::string& text, size_t pictures = 0) const {
    return {role, MessageOf(role, text, takes_pictures_, pictures), pictures};
  }

  void ForgetLast() {
    pictures_.Truncate(pictures_.size() - turns_.back().pictures);
    turns_.pop_back();
  }

  bool ReadsReplies() const {
    return settings_.json || settings_.reply.has_tools || settings_.reply.has_format;
  }

  bool Respond(Turn turn) {
    turns_.push_back(std::move(turn));
    std::vector<int32_t> prompt;
    std::string prompt_text;
    if (!MakePrompt(&prompt, &prompt_text)) {
      ForgetLast();
      return false;
    }
    Answer answer;
    ReplyReader reader(!settings_.json);
    graft_generate_result result{};
    result.struct_size = sizeof(result);
    graft_status status = GRAFT_OK;
    if (ReadsReplies()) {
      answer.reader = &reader;
      status = reader.Begin(model_, settings_.reply, prompt_text, &answer.error);
    }
    if (status == GRAFT_OK) status = Generate(prompt, &answer, &result);
    if (answer.status != GRAFT_OK) status = answer.status;
    return Conclude(status, reader, result, &answer);
  }

  /// Shows the end of an answer, and makes it a turn.
  bool Conclude(graft_status status, ReplyReader& reader, const graft_generate_result& result,
                Answer* answer) {
    const bool is_answer = status == GRAFT_OK || status == GRAFT_CANCELLED;
    if (is_answer && answer->reader != nullptr) {
      graft_error error{};
      if (reader.Finish(&error) != GRAFT_OK) return FailCall(settings_.file, error) == kExitOk;
    }
    const std::string& shown = answer->reader != nullptr ? reader.text() : answer->text;
    const bool ends_line = shown.empty() || shown.ends_with('\n') || !reader.calls().empty();
    if (!settings_.json && !ends_line) std::fputc('\n', stdout);
    std::fflush(stdout);
    if (!is_answer) {
      settings_.constraint.FailCall(settings_.file, settings_.reply.tools_file, answer->error);
      ForgetLast();
      return false;
    }
    if (answer->reader == nullptr) {
      turns_.push_back(TextTurn("assistant", answer->text));
      return true;
    }
    if (settings_.json) reader.Print(result, status);
    calls_ = reader.calls();
    std::string message = reader.Message();
    if (message.empty()) return false;
    turns_.push_back({"assistant", std::move(message)});
    return true;
  }

  bool Render(std::string* text) {
    std::string messages = "[";
    for (const Turn& turn : turns_) {
      messages.append(messages.size() > 1 ? ", " : "").append(turn.message);
    }
    messages += ']';
    std::vector<graft_chat_variable> variables;
    for (size_t i = 0; i < names_.size(); ++i) {
      variables.push_back({names_[i].c_str(), values_[i].c_str()});
    }
    graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
    if (!template_text_.empty()) options.template_text = template_text_.c_str();
    options.variables = variables.data();
    options.variable_count = variables.size();
    options.messages_json = messages.c_str();
    options.tools = settings_.reply.tools_or_null();
    return FillWhole(settings_.file, 4096, text,
                     [&](char* room, size_t capacity, size_t* size, graft_error* error) {
                       return graft_model_render_chat(model_, nullptr, 0, &options, room, capacity,
                                                      size, error);
                     }) &&
           tool_notice_.Tell(model_, options, *text) &&
           (pictures_.empty() || pictures_.Place(settings_.file, model_, text));
  }

  /// The ids of the conversation; its oldest turns go if it has outgrown the context.
  bool MakePrompt(std::vector<int32_t>* prompt, std::string* text) {
    size_t forgotten = 0;
    for (;;) {
      if (!Render(text) || !Tokenize(settings_.file, model_, *text, false, prompt)) return false;
      const uint64_t room = std::min<uint64_t>(settings_.sampling.max_tokens, context_ / 4);
      if (prompt->size() + room <= context_) break;
      const size_t first = has_system_ ? 1 : 0;
      size_t end = first + 1;  // of the oldest message and what answers it
      while (end < turns_.size() && turns_[end].role != "user") ++end;
      if (end >= turns_.size()) {
        if (prompt->size() < context_) break;
        Fail(settings_.file, Format("the talk takes %zu tokens, the context holds %" PRIu64,
                                    prompt->size(), context_));
        return false;
      }
      for (size_t i = first; i < end; ++i) pictures_.RemoveFirst(turns_[i].pictures);
      turns_.erase(turns_.begin() + static_cast<ptrdiff_t>(first),
                   turns_.begin() + static_cast<ptrdiff_t>(end));
      ++forgotten;
    }
    if (forgotten > 0) {
      std::fprintf(stderr, "(the context is full: the oldest %zu of the turns are forgotten)\n",
                   forgotten);
    }
    if (!prompt->empty()) return !takes_pictures_ || pictures_.SetIn(settings_.file, session_);
    Fail(settings_.file, "the chat template made no tokens of the talk");
    return false;
  }

  graft_status Generate(const std::vector<int32_t>& prompt, Answer* answer,
                        graft_generate_result* result) {
    std::vector<const char*> stop;
    graft_generate_options options = settings_.sampling.ToGenerateOptions(&stop);
    settings_.constraint.SetIn(&options);
    if (answer->reader != nullptr)
      answer->reader->SetIn(settings_.reply, turns_.back().role == "tool", &options);
    settings_.draft.SetIn(&options);
    options.seed += answers_++;
    options.whole_prompt = 1;  // what the session holds of the conversation is not computed again
    const InterruptGuard guard(session_);
    return graft_session_generate(session_, prompt.data(), prompt.size(), &options, OnToken, answer,
                                  result, &answer->error);
  }

  const Settings& settings_;
  graft_model* model_;
  graft_session* session_;
  const uint64_t context_;
  const bool takes_pictures_;
  const std::string template_text_;
  std::vector<std::string> names_;
  std::vector<std::string> values_;
  std::vector<Turn> turns_;
  TextPictures pictures_;
  size_t pictures_of_next_ = 0;           // the last of them
  std::vector<ReplyReader::Call> calls_;  // that have no result yet
  ToolNotice tool_notice_;
  bool has_system_ = false;
  uint64_t answers_ = 0;
};

/// Talks until the input ends.
int Converse(Conversation* conversation) {
  const bool is_terminal = isatty(STDIN_FILENO) != 0;
  if (is_terminal) std::fputs("Type a message, or /help.\n", stderr);
  bool all_answered = true;
  std::string message;
  while (ReadMessage(is_terminal, &message)) {
    if (message == "/exit" || message == "/quit") break;
    if (message == "/reset") {
      conversation->Reset();
    } else if (message == "/system" || message.starts_with("/system ")) {
      conversation->Reset(message.substr(std::min<size_t>(message.size(), 8)));
    } else if (message == "/pack" || message.starts_with("/pack ")) {
      all_answered =
          conversation->Swap(message.substr(std::min<size_t>(message.size(), 6))) && all_answered;
    } else if (message == "/tool" || message.starts_with("/tool ")) {
      all_answered =
          conversation->TakeResult(message.substr(std::min<size_t>(message.size(), 6))) &&
          all_answered;
    } else if (message.starts_with("/image ")) {
      all_answered = conversation->AddPicture(message.substr(7)) && all_answered;
    } else if (message == "/help") {
      std::fputs(kCommands, stderr);
    } else if (message.starts_with('/') && message.find_first_of(" /", 1) == std::string::npos) {
      Fail("", Format("no command \"%s\"; see /help", message.c_str()));
      all_answered = false;
    } else if (!message.empty()) {
      all_answered = conversation->AnswerMessage(message) && all_answered;
    }
    if (std::ferror(stdout) != 0) return Fail("standard output", "cannot be written");
  }
  if (is_terminal) std::fputc('\n', stderr);
  return all_answered || is_terminal ? kExitOk : kExitFailure;
}

}  // namespace

int RunChat(int argc, char** argv) {
  Settings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty()) {
    return FailUsage("chat: " + problem);
  }
  std::string template_text;
  if (settings.has_template_file && !ReadTextFile(settings.template_file, &template_text)) {
    return kExitFailure;
  }
  if (!settings.constraint.Read() || !settings.reply.Read()) return kExitFailure;
  settings.reply.template_text = template_text;
  const ModelHandle model = OpenModel(settings.file, settings.threads, settings.cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  if (info.task != GRAFT_TASK_TEXT_GENERATION || info.has_tokenizer == 0) {
    return Fail(settings.file, "the model does not generate text, or has no tokenizer");
  }
  if (info.has_chat_template == 0 && template_text.empty()) {
    return Fail(settings.file,
                "the file has no chat template: the model's folder had none when it was converted. "
                "Give one with --template FILE, or use graft-run generate");
  }
  const uint64_t context = settings.context == 0 ? DefaultContext(info) : settings.context;
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, context, settings.kv_format);
  if (session == nullptr || !settings.draft.Open(settings.threads, settings.cache, context))
    return kExitFailure;
  Conversation conversation(settings, model.get(), session.get(), context,
                            std::move(template_text));
  for (const std::string& image : settings.images) {
    if (!conversation.AddPicture(image)) return kExitFailure;
  }
  return Converse(&conversation);
}

}  // namespace graft_run
