// SPDX-License-Identifier: Apache-2.0
// Compiles the tools that a JSON describes into what calls of them may be: the first byte says the
// format and the order, the second chooses bytes. Every text that is allowed to its end is read as
// calls of these tools.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/matcher.h"
#include "runtime/tools/call_body.h"
#include "runtime/tools/tool_grammar.h"

namespace {

using graft::runtime::ToolSet;
using graft::runtime::Vocabulary;

const Vocabulary& Bytes() {
  static const Vocabulary* const vocabulary = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    return new Vocabulary(std::move(texts), 256);
  }();
  return *vocabulary;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto formats = graft::runtime::ReplyFormats();
  const auto& format = formats[(data[0] >> 1) % formats.size()];
  const graft::Result<ToolSet> tools =
      ToolSet::Parse({reinterpret_cast<const char*>(data) + 2, size - 2});
  if (!tools.ok()) return 0;
  auto grammar = graft::runtime::CompileTools(*tools, format, (data[0] & 1) != 0, "");
  if (!grammar.ok()) return 0;
  graft::runtime::Matcher matcher(std::move(*grammar), Bytes());
  std::string text;
  uint32_t pick = data[1];
  while (text.size() < 400 && !matcher.MayEnd()) {
    const auto mask = matcher.Mask();
    if (!mask.ok()) return 0;
    std::vector<uint32_t> ids;
    for (uint32_t id = 0; id < 256; ++id) {
      if (graft::runtime::HasToken(**mask, id)) ids.push_back(id);
    }
    if (ids.empty()) {
      if (matcher.overflowed()) return 0;
      std::abort();
    }
    pick = pick * 1103515245u + 12345u;
    // What ends something is mostly among the first and the last.
    const uint32_t place = pick >> 16;
    const uint32_t id = place % 3 == 0   ? ids.front()
                        : place % 3 == 1 ? ids.back()
                                         : ids[place % ids.size()];
    if (!matcher.AcceptToken(id)) return 0;
    text.push_back(static_cast<char>(id));
  }
  if (!matcher.MayEnd() || matcher.overflowed() || !text.ends_with(format.close)) return 0;
  std::vector<graft::runtime::ToolCall> calls;
  const auto body = std::string_view(text).substr(0, text.size() - format.close.size());
  if (!graft::runtime::ReadCalls(body, format.quote, &*tools, &calls)) std::abort();
  for (const auto& call : calls) {
    if (tools->Find(call.name) == nullptr) std::abort();
  }
  return 0;
}
