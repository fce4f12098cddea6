// SPDX-License-Identifier: Apache-2.0
// graft-run chat: a conversation with the model, by its own chat template, from a terminal or a
// pipe.
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/constraint_options.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"
#include "platforms/embedded_linux/sampling_options.h"
#include "platforms/embedded_linux/text_input.h"
#include "platforms/embedded_linux/thread_options.h"

namespace graft_run {
namespace {

constexpr uint64_t kDefaultContext = 4096;

constexpr char kCommands[] =
    "  /reset          forget the talk\n"
    "  /system TEXT    forget the talk, and start with this instruction (none: without one)\n"
    "  /pack FILE      go on with what this pack makes of the model (none: with the model)\n"
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
  SamplingOptions sampling{/*default_max_tokens=*/1024};
  ConstraintOptions constraint;
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
  settings->sampling.AddTo(&options);
  settings->constraint.AddTo(&options);
  settings->threads.AddTo(&options);
  options.Integer("context", 'c', &settings->context, 1, kMaxContextTokens);
  std::string kv = "auto";
  options.String("kv", 0, &kv, nullptr);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  if (std::string problem = settings->constraint.Check(); !problem.empty()) return problem;
  for (const std::string& pair : settings->set) {
    if (pair.find('=') == std::string::npos || pair[0] == '=') return "--set takes NAME=VALUE";
  }
  return ParseKvFormat(kv, &settings->kv_format);
}

struct Turn {
  std::string role;
  std::string text;
};

int32_t OnToken(void* user, int32_t, const char* text, size_t size) {
  static_cast<std::string*>(user)->append(text, size);
  if (size == 0) return 0;
  std::fwrite(text, 1, size, stdout);
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
        template_text_(std::move(template_text)) {
    for (const std::string& pair : settings.set) {
      const size_t equals = pair.find('=');
      names_.push_back(pair.substr(0, equals));
      values_.push_back(pair.substr(equals + 1));
    }
    if (settings.has_system) Reset(settings.system);
  }

  /// Makes the model another one; the talk goes on. What fails is printed, and nothing is changed;
  /// false then.
  bool Swap(const std::string& pack_file) {
    graft_pack pack = GRAFT_PACK_INIT;
    pack.path = pack_file.c_str();
    graft_error error{};
    if (graft_model_swap(model_, pack_file.empty() ? nullptr : &pack, &error) == GRAFT_OK) {
      return true;
    }
    FailCall(settings_.file, error);
    return false;
  }

  void Reset() { turns_.resize(has_system_ ? 1 : 0); }
  void Reset(const std::string& system) {
    has_system_ = !system.empty();
    turns_.clear();
    if (has_system_) turns_.push_back({"system", system});
  }

  /// Answers `text`, showing the answer as it comes. What fails is printed and forgotten; false
  /// then.
  bool Answer(const std::string& text) {
    turns_.push_back({"user", text});
    std::vector<int32_t> prompt;
    if (!MakePrompt(&prompt)) {
      turns_.pop_back();
      return false;
    }
    std::string answer;
    graft_error error{};
    const graft_status status = Generate(prompt, &answer, &error);
    if (!answer.empty() && !answer.ends_with('\n')) std::fputc('\n', stdout);
    std::fflush(stdout);
    if (status != GRAFT_OK && status != GRAFT_CANCELLED) {
      Fail(settings_.file, error.message);
      turns_.pop_back();
      return false;
    }
    turns_.push_back({"assistant", answer});
    return true;
  }

 private:
  bool Render(std::string* text) const {
    std::vector<graft_chat_message> messages;
    for (const Turn& turn : turns_) messages.push_back({turn.role.c_str(), turn.text.c_str()});
    std::vector<graft_chat_variable> variables;
    for (size_t i = 0; i < names_.size(); ++i) {
      variables.push_back({names_[i].c_str(), values_[i].c_str()});
    }
    graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
    if (!template_text_.empty()) options.template_text = template_text_.c_str();
    options.variables = variables.data();
    options.variable_count = variables.size();
    return FillWhole(settings_.file, 4096, text,
                     [&](char* room, size_t capacity, size_t* size, graft_error* error) {
                       return graft_model_render_chat(model_, messages.data(), messages.size(),
                                                      &options, room, capacity, size, error);
                     });
  }

  /// The ids of the conversation; its oldest turns go if it has outgrown the context.
  bool MakePrompt(std::vector<int32_t>* prompt) {
    size_t forgotten = 0;
    for (;;) {
      std::string text;
      if (!Render(&text) || !Tokenize(settings_.file, model_, text, false, prompt)) return false;
      const uint64_t room = std::min<uint64_t>(settings_.sampling.max_tokens, context_ / 4);
      if (prompt->size() + room <= context_) break;
      const size_t first = has_system_ ? 1 : 0;
      if (turns_.size() < first + 3) {
        if (prompt->size() < context_) break;
        Fail(settings_.file, Format("the talk takes %zu tokens, the context holds %" PRIu64,
                                    prompt->size(), context_));
        return false;
      }
      turns_.erase(turns_.begin() + static_cast<ptrdiff_t>(first),
                   turns_.begin() + static_cast<ptrdiff_t>(first) + 2);
      ++forgotten;
    }
    if (forgotten > 0) {
      std::fprintf(stderr, "(the context is full: the oldest %zu of the turns are forgotten)\n",
                   forgotten);
    }
    if (!prompt->empty()) return true;
    Fail(settings_.file, "the chat template made no tokens of the talk");
    return false;
  }

  graft_status Generate(const std::vector<int32_t>& prompt, std::string* answer,
                        graft_error* error) {
    std::vector<const char*> stop;
    graft_generate_options options = settings_.sampling.ToGenerateOptions(&stop);
    settings_.constraint.SetIn(&options);
    options.seed += answers_++;
    options.whole_prompt = 1;  // what the session holds of the conversation is not computed again
    const InterruptGuard guard(session_);
    return graft_session_generate(session_, prompt.data(), prompt.size(), &options, OnToken, answer,
                                  nullptr, error);
  }

  const Settings& settings_;
  graft_model* model_;
  graft_session* session_;
  const uint64_t context_;
  const std::string template_text_;
  std::vector<std::string> names_;
  std::vector<std::string> values_;
  std::vector<Turn> turns_;
  bool has_system_ = false;
  uint64_t answers_ = 0;
};

/// The next line of standard input, without its end; false if there is none. By stdio: the streams
/// of the C++ library bring all of its locales along, 0.3 MB of a static program.
bool ReadLine(std::string* line) {
  line->clear();
  int c = 0;
  while ((c = std::getchar()) != EOF && c != '\n') *line += static_cast<char>(c);
  return c != EOF || !line->empty();
}

/// One message, which may take several lines; false at the end of input.
bool ReadMessage(bool is_terminal, std::string* message) {
  message->clear();
  for (bool is_first = true;; is_first = false) {
    if (is_terminal) std::fputs(is_first ? "> " : "  ", stderr);
    std::string line;
    if (!ReadLine(&line)) return !message->empty();
    if (line.ends_with('\r')) line.pop_back();
    const bool goes_on = line.ends_with('\\');
    if (goes_on) line.back() = '\n';
    *message += line;
    if (!goes_on) return true;
  }
}

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
    } else if (message == "/help") {
      std::fputs(kCommands, stderr);
    } else if (message.starts_with('/') && message.find_first_of(" /", 1) == std::string::npos) {
      Fail("", Format("no command \"%s\"; see /help", message.c_str()));
      all_answered = false;
    } else if (!message.empty()) {
      all_answered = conversation->Answer(message) && all_answered;
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
  if (!settings.constraint.Read()) return kExitFailure;
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
  uint64_t context = settings.context;
  if (context == 0) {
    context = info.context_tokens == 0 ? kDefaultContext
                                       : std::min<uint64_t>(info.context_tokens, kDefaultContext);
  }
  const SessionHandle session =
      OpenSession(settings.file, model.get(), settings.threads, context, settings.kv_format);
  if (session == nullptr) return kExitFailure;
  Conversation conversation(settings, model.get(), session.get(), context,
                            std::move(template_text));
  return Converse(&conversation);
}

}  // namespace graft_run
