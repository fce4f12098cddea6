// SPDX-License-Identifier: Apache-2.0
// Takes replies apart: the first byte says the format, the second where the text is cut. However it
// is cut, the parts are the same, calls have arguments that are JSON objects, and no byte is made up.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/tools/reply_parser.h"

namespace {

using graft::runtime::JsonTree;
using graft::runtime::ReplyFormats;
using graft::runtime::ReplyParser;
using graft::runtime::ToolSet;

class Parts : public graft::runtime::ReplySink {
 public:
  void OnText(std::string_view text) override { Add('t', text); }
  void OnThinking(std::string_view text) override { Add('k', text); }
  void OnCall(const graft::runtime::ToolCall& call) override {
    const graft::Result<JsonTree> tree = JsonTree::Parse(call.arguments);
    if (!tree.ok() || !tree->IsObject(0) || call.name.empty()) std::abort();
    Add('c', call.name + "#" + call.id + call.arguments);
    last = '\0';
  }
  std::string all;
  size_t told = 0;  // bytes of text and thinking

 private:
  void Add(char kind, std::string_view text) {
    if (text.empty()) std::abort();
    if (kind != last) all.append(1, '\x01').append(1, kind);
    all += text;
    last = kind;
    if (kind != 'c') told += text.size();
  }
  char last = '\0';
};

const std::shared_ptr<const ToolSet>& Tools() {
  static const auto* const tools = new std::shared_ptr<
      const ToolSet>(std::make_shared<const ToolSet>(
      ToolSet::Parse(
          R"([{"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}}}}, {"name": "g"}])")
          .value()));
  return *tools;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto& format = ReplyFormats()[data[0] % ReplyFormats().size()];
  const bool is_thinking = (data[1] & 1) != 0;
  const auto tools = (data[1] & 2) != 0 ? Tools() : nullptr;
  const size_t step = 1 + (data[1] >> 2);
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  Parts whole;
  ReplyParser one(format, tools, is_thinking);
  one.Append(text, &whole);
  one.Finish(&whole);
  if (whole.told > text.size()) std::abort();
  Parts cut;
  ReplyParser other(format, tools, is_thinking);
  for (size_t at = 0; at < text.size(); at += step) other.Append(text.substr(at, step), &cut);
  other.Finish(&cut);
  if (whole.all != cut.all) std::abort();
  return 0;
}
