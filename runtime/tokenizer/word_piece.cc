// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/word_piece.h"

#include <algorithm>

#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

// Tokens of most texts are no longer; to follow longer ones costs as much as a search.
constexpr size_t kFewBytes = 32;

std::string_view PrefixOf(const schema::fb::Tokenizer& tables) {
  const flatbuffers::String* prefix = tables.continuing_prefix();
  return prefix == nullptr ? std::string_view() : std::string_view(prefix->c_str(), prefix->size());
}

}  // namespace

WordPieceEncoder::WordPieceEncoder(const schema::fb::Tokenizer& tables)
    : tokens_(tables, PrefixOf(tables)),
      unknown_id_(tables.unknown_id()),
      max_word_characters_(tables.max_word_characters()) {}

bool WordPieceEncoder::Encode(std::string_view word, PatternScratch& budget,
                              std::vector<int32_t>* ids) const {
  const auto characters = std::count_if(
      word.begin(), word.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
  const size_t first = ids->size();
  bool is_known = static_cast<size_t>(characters) <= max_word_characters_;
  for (size_t start = 0; is_known && start < word.size();) {
    TokenOrder::Node node = start == 0 ? tokens_.root() : tokens_.favourite();
    size_t end = start;
    uint32_t id = kNotFound;
    size_t at = start;
    for (; at < word.size(); ++at) {
      node = tokens_.Next(node, static_cast<uint8_t>(word[at]));
      if (node.empty()) break;
      if (const uint32_t token = tokens_.TokenAt(node); token != kNotFound) {
        id = token;
        end = at + 1;
      }
    }
    if (at - start > kFewBytes && !budget.PaySearch(at - start)) return false;
    is_known = end > start;
    if (is_known) ids->push_back(static_cast<int32_t>(id));
    start = end;
  }
  if (is_known) return true;
  ids->resize(first);
  ids->push_back(unknown_id_);
  return true;
}

}  // namespace graft::runtime
