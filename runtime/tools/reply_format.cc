// SPDX-License-Identifier: Apache-2.0
#include "runtime/tools/reply_format.h"

namespace graft::runtime {
namespace {

constexpr ReplyFormat kFormats[] = {
    {.name = "hermes",
     .open = "<tool_call>",
     .close = "</tool_call>",
     .before = "\n",
     .after = "\n"},
    {.name = "llama", .open = "<|python_tag|>", .arguments = "parameters", .is_bare = true},
    {.name = "mistral",
     .open = "[TOOL_CALLS]",
     .form = CallForm::kList,
     .think_open = "[THINK]",
     .think_close = "[/THINK]"},
    {.name = "mistral-args",
     .open = "[TOOL_CALLS]",
     .form = CallForm::kHead,
     .think_open = "[THINK]",
     .think_close = "[/THINK]"},
    {.name = "functiongemma",
     .open = "<start_function_call>",
     .close = "<end_function_call>",
     .form = CallForm::kBraces,
     .quote = "<escape>"},
    {.name = "gemma4",
     .open = "<|tool_call>",
     .close = "<tool_call|>",
     .form = CallForm::kBraces,
     .think_open = "<|channel>thought\n",
     .think_close = "<channel|>",
     .quote = "<|\"|>"},
    {.name = "lfm2",
     .open = "<|tool_call_start|>",
     .close = "<|tool_call_end|>",
     .form = CallForm::kPython,
     .before = "[",
     .after = "]"},
    {.name = "qwen-coder",
     .open = "<tool_call>",
     .close = "</tool_call>",
     .form = CallForm::kElements,
     .before = "\n",
     .after = "\n"},
    {.name = "glm", .open = "<tool_call>", .close = "</tool_call>", .form = CallForm::kPairs},
    {.name = "phi", .open = "<|tool_call|>", .close = "<|/tool_call|>", .form = CallForm::kList},
    {.name = "granite", .open = "<|tool_call|>", .form = CallForm::kList},
    {.name = "olmo",
     .open = "<function_calls>",
     .close = "</function_calls>",
     .form = CallForm::kPython},
    {.name = "llama4",
     .open = "<|python_start|>",
     .close = "<|python_end|>",
     .form = CallForm::kPython,
     .before = "[",
     .after = "]"},
};

/// What only one family's template, or vocabulary, has. The first that is found counts.
struct Sign {
  std::string_view text;
  std::string_view format;
  bool is_token = true;
};
constexpr Sign kSigns[] = {
    {"<start_function_call>", "functiongemma"},
    {"<|tool_call>", "gemma4"},
    {"<|tool_list_start|>", "lfm2"},
    {"<|tool_call_start|>", "lfm2"},
    {"[ARGS]", "mistral-args"},
    {"[TOOL_CALLS]", "mistral"},
    {"<|/tool_call|>", "phi"},
    {"<|tool_call|>", "granite"},
    {"<function=", "qwen-coder", false},
    {"<arg_key>", "glm"},
    {"<tool_call>", "hermes"},
    {"<function_calls>", "olmo"},
    {"<|python_start|>", "llama4"},
    {"<|python_tag|>", "llama"},
    {"ipython", "llama", false},
};

bool IsToken(const Tokenizer& tokenizer, std::string_view text) {
  const Result<std::vector<int32_t>> ids = tokenizer.Encode(text, /*add_special=*/false);
  return ids.ok() && ids->size() == 1;
}

}  // namespace

std::span<const ReplyFormat> ReplyFormats() { return kFormats; }

const ReplyFormat* FindReplyFormat(std::string_view name) {
  for (const ReplyFormat& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

bool IsReplyMark(std::string_view text) {
  if (text == "[ARGS]" || text == "[CALL_ID]") return true;
  for (const ReplyFormat& format : kFormats) {
    if (text == format.open || text == format.close || text == format.quote) return !text.empty();
    if (text == format.think_open || text == format.think_close) return true;
  }
  // A token of its own, with a line's end behind it, in one format.
  return text == "<|channel>";
}

const ReplyFormat& FormatOf(std::string_view template_text, const Tokenizer* tokenizer) {
  for (const Sign& sign : kSigns) {
    if (template_text.find(sign.text) != std::string_view::npos) {
      return *FindReplyFormat(sign.format);
    }
  }
  for (const Sign& sign : kSigns) {
    if (sign.is_token && tokenizer != nullptr && IsToken(*tokenizer, sign.text)) {
      return *FindReplyFormat(sign.format);
    }
  }
  return kFormats[0];
}

bool OpensThinking(const ReplyFormat& format, std::string_view prompt) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto trimmed = [&](std::string_view text) {
    return text.substr(0, text.find_last_not_of(kSpace) + 1);
  };
  return trimmed(prompt).ends_with(trimmed(format.think_open));
}

}  // namespace graft::runtime
