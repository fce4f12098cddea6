// SPDX-License-Identifier: Apache-2.0
// ReplyReader: an answer in a talk, taken apart into text, thinking and calls of functions.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <graft/graft.h>
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

/// How answers are taken apart, and what the model may call.
struct ReplySettings {
  std::string tools_file;
  std::string format;
  std::string choice;
  bool has_tools = false;
  bool has_format = false;
  bool has_choice = false;
  std::string tools;  // the file's text
  std::string template_text;

  void AddTo(Options* options);
  /// What is wrong with the options, or an empty string.
  std::string Check() const {
    return has_choice && !has_tools ? "--tool-choice needs --tools" : std::string();
  }
  /// Reads the file. False after a failure, which has been printed.
  bool Read();
  const char* tools_or_null() const { return has_tools ? tools.c_str() : nullptr; }
};

/// Says once, on standard error, that a template makes nothing of the tools: its model then never
/// hears of them.
class ToolNotice {
 public:
  /// `text` is what `options` made. True, whatever it is.
  bool Tell(const graft_model* model, graft_chat_options options, const std::string& text);

 private:
  bool is_told_ = false;
};

class ReplyReader {
 public:
  struct Call {
    std::string id;
    std::string name;
    std::string arguments;
  };

  /// shows: parts are printed as they come, thinking to standard error.
  explicit ReplyReader(bool shows) : shows_(shows) {}

  graft_status Begin(const graft_model* model, const ReplySettings& settings,
                     const std::string& prompt, graft_error* error);
  graft_status Append(std::string_view text, graft_error* error);
  graft_status Finish(graft_error* error);

  /// What generates the answer is to know of it.
  /// answers_tools: what is answered are results, so that no call has to come.
  void SetIn(const ReplySettings& settings, bool answers_tools,
             graft_generate_options* options) const;

  const std::string& text() const { return text_; }
  const std::string& thinking() const { return thinking_; }
  const std::vector<Call>& calls() const { return calls_; }
  /// The answer as a message in JSON. Empty after a failure, which has been printed.
  std::string Message() const;
  /// Prints the answer and how it came about as a JSON object.
  void Print(const graft_generate_result& result, graft_status status) const;

 private:
  static void OnPart(void* user, const graft_reply_part* part);

  const bool shows_;
  std::unique_ptr<graft_reply, void (*)(graft_reply*)> reply_{nullptr, graft_reply_destroy};
  std::string text_;
  std::string thinking_;
  std::vector<Call> calls_;
};

}  // namespace graft_run
