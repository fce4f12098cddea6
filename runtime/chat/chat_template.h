// SPDX-License-Identifier: Apache-2.0
// ChatTemplate: the text a model was trained to see for a row of messages, made by the template
// that came with it. ModelTemplate: the one in a model's file, parsed once.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::schema::fb {
struct Model;
}  // namespace graft::schema::fb

namespace graft::runtime {

namespace chat {
struct Syntax;
}  // namespace chat

struct ChatMessage {
  std::string_view role;
  std::string_view content;
  size_t pictures = 0;  ///< That go before the content.
};

/// A name that the template may look at. "true" and "false" are truth values, else it is a text.
struct ChatVariable {
  std::string_view name;
  std::string_view value;
};

struct ChatOptions {
  bool add_generation_prompt = true;  ///< end with what an answer begins with
  std::span<const ChatVariable> variables;
  // JSON texts, which the template sees as transformers gives them; none if data() is null or empty.
  std::string_view messages_json;   ///< a list, in place of the messages
  std::string_view tools_json;      ///< a list of functions
  std::string_view documents_json;  ///< a list of objects
  std::string_view variables_json;  ///< an object, beside `variables`
  std::time_t now = 0;              ///< what the template takes the time to be; 0: the clock's
  bool in_parts = false;            ///< contents are lists of pictures and texts, not texts
};

/// Immutable: any number of threads may use it.
class ChatTemplate {
 public:
  /// bos_token, eos_token: what the template knows them as; empty: not defined.
  /// Errors   kCorrupt, kUnsupported: no template that graft can run; the message names the line.
  static Result<std::unique_ptr<const ChatTemplate>> Create(std::string source,
                                                            std::string bos_token,
                                                            std::string eos_token);
  ~ChatTemplate();

  /// The text of `messages`, as transformers' apply_chat_template gives it. All of them is UTF-8.
  /// Errors   kInvalidArgument: the template refuses the messages (their order, a role), they are
  ///          not UTF-8, or a JSON text is not what it must be;
  ///          kOutOfRange: it takes more steps, memory or output than a template needs;
  ///          kCorrupt: it does what Python could not. The message names the line.
  Result<std::string> Render(std::span<const ChatMessage> messages,
                             const ChatOptions& options) const;

 private:
  ChatTemplate() = default;

  std::unique_ptr<const chat::Syntax> syntax_;
  std::string bos_token_;
  std::string eos_token_;
};

class ModelTemplate {
 public:
  /// Reads nothing yet. `file` must outlive this.
  explicit ModelTemplate(const schema::fb::Model& file) : file_(file) {}

  /// False: the file has no template.
  bool exists() const;
  std::string_view source() const;  ///< empty: the file has none

  /// The template. The first call parses it; whoever never chats pays nothing. Any thread.
  /// Errors   kFailedPrecondition: the file has no template;
  ///          those of ChatTemplate::Create.
  Result<const ChatTemplate*> Get() const;

  /// Parses `source` for this model, with its tokens.
  /// Errors   those of ChatTemplate::Create.
  Result<std::unique_ptr<const ChatTemplate>> Parse(std::string source) const;

 private:
  const schema::fb::Model& file_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const ChatTemplate> parsed_;  // null until it is asked for
};

}  // namespace graft::runtime
