// SPDX-License-Identifier: Apache-2.0
// Compiles constraints and follows texts through them: the first byte says what the bytes up to a
// zero are (a JSON Schema, a regular expression, a GBNF grammar, choices), and those behind it choose
// tokens. Whatever they are, a mask holds just the tokens whose bytes the constraint allows, no text
// that it allows is led where none may follow and the text may not end, and an end that was planned
// is one.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/constraint.h"
#include "runtime/constrain/gbnf.h"
#include "runtime/constrain/json/json_schema.h"
#include "runtime/constrain/matcher.h"

namespace {

using graft::runtime::Grammar;
using graft::runtime::Vocabulary;

/// Every byte, and some longer tokens.
const Vocabulary& SmallVocabulary() {
  static const Vocabulary* const vocabulary = [] {
    std::vector<std::string> texts;
    for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
    for (const char* text :
         {"ab", "abc", "\":", "\", \"", "{\"", "\"}", " a", "12", "true", "[[", "]]", "\xC3\xA4",
          "\\u00", "null", "a\"", "abcdefghijklmnopqrstuvwxyz"}) {
      texts.emplace_back(text);
    }
    const auto size = static_cast<uint32_t>(texts.size());
    return new Vocabulary(std::move(texts), size);
  }();
  return *vocabulary;
}

graft::Result<Grammar> Compile(uint8_t kind, std::string_view text) {
  switch (kind & 7) {
    case 0:
      return graft::runtime::CompileJsonSchema(text, false);
    case 1:
      return graft::runtime::CompileJsonSchema(text, true);
    case 2:
      return graft::runtime::CompileRegex(text);
    case 3:
      return graft::runtime::CompileGbnf(text);
    default:
      const std::string_view choices[] = {text, "abc"};
      return graft::runtime::CompileChoices(choices);
  }
}

/// That the tokens of the shortest end lead to one.
void CheckEnd(graft::runtime::Matcher* matcher) {
  std::vector<int32_t> plan = matcher->PlanEnd();
  if (matcher->overflowed()) return;
  if (plan.empty() && matcher->CanEnd({}, 0) && !matcher->MayEnd()) std::abort();
  for (; !plan.empty(); plan.pop_back()) {
    if (!matcher->AcceptToken(static_cast<uint32_t>(plan.back()))) {
      if (matcher->overflowed()) return;
      std::abort();
    }
    if (plan.size() == 1 && !matcher->MayEnd()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t end = std::min(input.find('\0'), input.size());
  auto grammar = Compile(data[0], input.substr(0, end));
  if (!grammar.ok()) return 0;
  graft::runtime::Matcher matcher(std::move(*grammar), SmallVocabulary());
  std::string_view picks = input.substr(std::min(end + 1, input.size()));
  if (picks.empty()) picks = "\x01\x55\xAA";
  for (size_t step = 0; step < 40; ++step) {
    const auto mask = matcher.Mask();
    if (!mask.ok()) return 0;
    const graft::runtime::TokenMask allowed = **mask;
    std::vector<uint32_t> ids;
    for (uint32_t id = 0; id < SmallVocabulary().size(); ++id) {
      const std::string_view text = SmallVocabulary().text(id);
      const bool is_allowed = matcher.CountAllowed(text) == text.size();
      if (matcher.overflowed()) return 0;
      if (is_allowed != graft::runtime::HasToken(allowed, id)) std::abort();
      if (is_allowed) ids.push_back(id);
    }
    if (ids.empty() != matcher.MustEnd() || (ids.empty() && !matcher.MayEnd())) std::abort();
    if (ids.empty()) return 0;
    const uint32_t id = ids[static_cast<uint8_t>(picks[step % picks.size()]) % ids.size()];
    if (!matcher.AcceptToken(id) && !matcher.overflowed()) std::abort();
    bool ends = false;
    const std::string forced = matcher.ForcedText(20, &ends);
    if (!matcher.overflowed() && matcher.CountAllowed(forced) != forced.size()) std::abort();
    if (matcher.overflowed()) return 0;
  }
  CheckEnd(&matcher);
  return 0;
}
