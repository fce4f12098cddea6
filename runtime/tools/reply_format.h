// SPDX-License-Identifier: Apache-2.0
// ReplyFormat: how a family of models writes its thinking and its calls of functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/tokenizer/tokenizer.h"

namespace graft::runtime {

/// What stands between the marks of a call when it is written anew. All forms are read, whichever a
/// family writes.
enum class CallForm : uint8_t {
  kObject,    ///< {"name": "f", "arguments": {...}}
  kList,      ///< [{"name": "f", "arguments": {...}}, ...]
  kHead,      ///< f[ARGS]{...}
  kPython,    ///< f(a="b", c=1)
  kBraces,    ///< call:f{a:<escape>b<escape>,c:1}
  kElements,  ///< <function=f> <parameter=a> b </parameter> </function>
  kPairs,     ///< f <arg_key>a</arg_key> <arg_value>b</arg_value>
};

struct ReplyFormat {
  std::string_view name = "";
  std::string_view open = "";   ///< comes before a call, or a list of calls
  std::string_view close = "";  ///< comes behind it; empty: nothing does
  CallForm form = CallForm::kObject;
  std::string_view arguments = "arguments";  ///< what kObject calls them
  std::string_view before = "";              ///< what stands between `open` and a call
  std::string_view after = "";               ///< ... and between a call and `close`
  std::string_view think_open = "<think>";
  std::string_view think_close = "</think>";
  std::string_view quote = "";  ///< stands around texts in kBraces
  bool is_bare = false;         ///< a reply that begins with an object is a call without `open`
};

std::span<const ReplyFormat> ReplyFormats();
/// Null: none has that name.
const ReplyFormat* FindReplyFormat(std::string_view name);
/// The format that a model's template tells, else its tokens; else that of most models. tokenizer
/// may be null.
const ReplyFormat& FormatOf(std::string_view template_text, const Tokenizer* tokenizer);
/// Whether `text` is what a family writes in or around calls and thinking.
bool IsReplyMark(std::string_view text);
/// Whether what a prompt ends with opens the model's thinking.
bool OpensThinking(const ReplyFormat& format, std::string_view prompt);

}  // namespace graft::runtime
