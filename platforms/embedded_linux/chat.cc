// SPDX-License-Identifier: Apache-2.0
// graft-run chat: a talk with the model, by its own chat template, from a terminal or a pipe.
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"
#include "platforms/embedded_linux/text_input.h"
#include "platforms/embedded_linux/thread_options.h"

namespace graft_run {
namespace {

constexpr uint64_t kMaxContext = uint64_t{1} << 24;
constexpr uint64_t kDefaultContext = 4096;

constexpr char kCommands[] =
    "  /reset          forget the talk\n"
    "  /system TEXT    forget the talk, and start with this instruction (none: without one)\n"
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
  std::vector<std::string> stop;
  uint64_t max_tokens = 1024;
  double temperature = 0;
  uint64_t top_k = 0;
  double top_p = 0;
  double min_p = 0;
  double repeat_penalty = 0;
  uint64_t seed = 0;
  ThreadOptions threads;
  uint64_t context = 0;
  int32_t kv_format = GRAFT_KV_AUTO;
  CacheOptions cache;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  Options options;
  settings->cache.AddTo(&options);
  options.Text("system", 's', &settings->system, &settings->has_system);
  options.Text("template", 0, &settings->template_file, &settings->has_template_file);
  options.TextList("set", &settings->set);
  options.TextList("stop", &settings->stop);
  options.Whole("max-tokens", 'n', &settings->max_tokens, 1, kMaxContext);
  options.Real("temperature", &settings->temperature, 0, 1000);
  options.Whole("top-k", 0, &settings->top_k, 0, UINT32_MAX);
  options.Real("top-p", &settings->top_p, 0, 1);
  options.Real("min-p", &settings->min_p, 0, 1);
  options.Real("repeat-penalty", &settings->repeat_penalty, 0, 1000);
  options.Whole("seed", 0, &settings->seed, 0, UINT64_MAX);
  settings->threads.AddTo(&options);
  options.Whole("context", 'c', &settings->context, 1, kMaxContext);
  std::string kv = "auto";
  options.Text("kv", 0, &kv, nullptr);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
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

/// The talk so far, and the session that holds what was computed of it.
class Talk {
 public:
  Talk(const Settings& settings, const graft_model* model, graft_session* session, uint64_t context,
       std::string template_text)
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
    graft_error error{};
    text->resize(4096);
    for (;;) {
      size_t size = 0;
      const graft_status status =
          graft_model_render_chat(model_, messages.data(), messages.size(), &options, text->data(),
                                  text->size(), &size, &error);
      const bool is_short = status == GRAFT_OUT_OF_RANGE && size > text->size();
      if (status != GRAFT_OK && !is_short) {
        Fail(settings_.file, error.message);
        return false;
      }
      text->resize(size);
      if (!is_short) return true;
    }
  }

  /// The ids of the talk; its oldest turns go if it has outgrown the context.
  bool MakePrompt(std::vector<int32_t>* prompt) {
    size_t forgotten = 0;
    for (;;) {
      std::string text;
      if (!Render(&text) || !Tokenize(settings_.file, model_, text, false, prompt)) return false;
      const uint64_t room = std::min<uint64_t>(settings_.max_tokens, context_ / 4);
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
    for (const std::string& string : settings_.stop) stop.push_back(string.c_str());
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = static_cast<uint32_t>(settings_.max_tokens);
    options.temperature = static_cast<float>(settings_.temperature);
    options.top_k = static_cast<uint32_t>(settings_.top_k);
    options.top_p = static_cast<float>(settings_.top_p);
    options.min_p = static_cast<float>(settings_.min_p);
    options.repeat_penalty = static_cast<float>(settings_.repeat_penalty);
    options.seed = settings_.seed + answers_++;
    options.stop = stop.data();
    options.stop_count = stop.size();
    options.whole_prompt = 1;  // what the session holds of the talk is not computed again
    const InterruptGuard guard(session_);
    return graft_session_generate(session_, prompt.data(), prompt.size(), &options, OnToken, answer,
                                  nullptr, error);
  }

  const Settings& settings_;
  const graft_model* model_;
  graft_session* session_;
  const uint64_t context_;
  const std::string template_text_;
  std::vector<std::string> names_;
  std::vector<std::string> values_;
  std::vector<Turn> turns_;
  bool has_system_ = false;
  uint64_t answers_ = 0;
};

/// One message, which may take several lines; false at the end of input.
bool ReadMessage(bool is_terminal, std::string* message) {
  message->clear();
  for (bool is_first = true;; is_first = false) {
    if (is_terminal) std::fputs(is_first ? "> " : "  ", stderr);
    std::string line;
    if (!std::getline(std::cin, line)) return !message->empty();
    if (line.ends_with('\r')) line.pop_back();
    const bool goes_on = line.ends_with('\\');
    if (goes_on) line.back() = '\n';
    *message += line;
    if (!goes_on) return true;
  }
}

/// Talks until the input ends.
int Converse(Talk* talk) {
  const bool is_terminal = isatty(STDIN_FILENO) != 0;
  if (is_terminal) std::fputs("Type a message, or /help.\n", stderr);
  bool all_answered = true;
  std::string message;
  while (ReadMessage(is_terminal, &message)) {
    if (message == "/exit" || message == "/quit") break;
    if (message == "/reset") {
      talk->Reset();
    } else if (message == "/system" || message.starts_with("/system ")) {
      talk->Reset(message.substr(std::min<size_t>(message.size(), 8)));
    } else if (message == "/help") {
      std::fputs(kCommands, stderr);
    } else if (message.starts_with('/') && message.find_first_of(" /", 1) == std::string::npos) {
      Fail("", Format("no command \"%s\"; see /help", message.c_str()));
      all_answered = false;
    } else if (!message.empty()) {
      all_answered = talk->Answer(message) && all_answered;
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
  Talk talk(settings, model.get(), session.get(), context, std::move(template_text));
  return Converse(&talk);
}

}  // namespace graft_run
