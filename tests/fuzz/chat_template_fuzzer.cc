// SPDX-License-Identifier: Apache-2.0
// Renders conversations: the bytes are a Jinja template, a zero, and what the user says. Whatever
// they are, rendering ends within its bounds, twice alike.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "runtime/chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using graft::runtime::ChatMessage;
  using graft::runtime::ChatTemplate;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  const std::string_view said = end == input.npos ? "Hello" : input.substr(end + 1);
  const auto parsed = ChatTemplate::Create(std::string(input.substr(0, end)), "<s>", "</s>");
  if (!parsed.ok()) return 0;
  const graft::runtime::ChatVariable variables[] = {{"enable_thinking", "false"},
                                                    {"name", "a b c"}};
  graft::runtime::ChatOptions options;
  options.variables = variables;
  options.now = 1700000000;
  const ChatMessage messages[] = {{"system", "Be brief."},
                                  {"user", said},
                                  {"assistant", "<think>so</think>Yes."},
                                  {"user", said}};
  const auto text = (*parsed)->Render(messages, options);
  const auto again = (*parsed)->Render(messages, options);
  if (text.ok() && again.ok() && *text != *again) std::abort();
  return 0;
}
