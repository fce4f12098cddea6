// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/vocabulary.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/base/utf8.h"

namespace graft::runtime {
namespace {

/// The characters of a plain token; 0 if it is not plain.
uint32_t PlainCharacters(std::string_view text) {
  if (!IsValidUtf8(text)) return 0;
  uint32_t count = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || c == '"' || c == '\\') return 0;
    if ((byte & 0xC0) != 0x80) ++count;
  }
  return count;
}

struct TextOf {
  std::string_view text;
  uint32_t id;
};

/// std::sort's code for one more type is large.
int CompareTexts(const void* a, const void* b) {
  const auto& one = *static_cast<const TextOf*>(a);
  const auto& other = *static_cast<const TextOf*>(b);
  const int compared = one.text.compare(other.text);
  return compared != 0 ? compared : one.id < other.id ? -1 : 1;
}

/// Makes the tree of `ids`, which are in the order of their texts, all different and not empty.
void MakeTree(const Vocabulary& vocabulary, const FlatVector<uint32_t>& ids, TokenTree* made) {
  TokenTree& tree = *made;
  tree.first_nodes.fill(TokenTree::kNone);
  FlatVector<uint32_t> open;  // nodes on the path to the last text
  std::string_view last;
  const auto close_to = [&](size_t depth) {
    for (; open.size() > depth; open.pop_back()) {
      tree.nodes[open.back()].end = static_cast<uint32_t>(tree.nodes.size());
    }
  };
  for (const uint32_t id : ids) {
    const std::string_view text = vocabulary.text(id);
    size_t shared = 0;
    while (shared < last.size() && shared < text.size() && last[shared] == text[shared]) ++shared;
    close_to(shared);
    for (size_t i = shared; i < text.size(); ++i) {
      const auto node = static_cast<uint32_t>(tree.nodes.size());
      if (i == 0) tree.first_nodes[static_cast<uint8_t>(text[0])] = node;
      open.push_back(node);
      tree.depths.push_back(static_cast<uint16_t>(i));
      tree.nodes.push_back({static_cast<uint8_t>(text[i]), 0});
    }
    tree.nodes.back().token_and_byte |= (id + 1) << 8;
    last = text;
  }
  close_to(0);
  tree.nodes = FlatVector<TokenTree::Node>(std::span<const TokenTree::Node>(tree.nodes));
  tree.depths = FlatVector<uint16_t>(std::span<const uint16_t>(tree.depths));
}

}  // namespace

Vocabulary::Vocabulary(const std::vector<std::string>& texts, uint32_t size) : size_(size) {
  offsets_.push_back(0);
  for (const std::string& text : texts) {
    bytes_ += text;
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  FlatVector<TextOf> order;
  for (uint32_t id = 0; id < texts.size() && id < size; ++id) {
    if (!text(id).empty() && text(id).size() <= kMaxTokenBytes) order.push_back({text(id), id});
  }
  if (!order.empty()) std::qsort(order.data(), order.size(), sizeof(TextOf), CompareTexts);
  FlatVector<uint32_t> ids[3];  // of the trees
  FlatVector<uint32_t>& different = ids[0];
  plain_.resize((kMaxPlainCharacters + 1) * mask_words());
  for (const auto& [bytes, id] : order) {
    longest_ = std::max(longest_, bytes.size());
    const uint32_t characters = PlainCharacters(bytes);
    const bool is_plain = characters != 0 && characters <= kMaxPlainCharacters;
    if (is_plain) plain_[characters * mask_words() + id / 64] |= uint64_t{1} << (id & 63);
    if (!different.empty() && text(different.back()) == bytes) {
      twins_.push_back({different.back(), id});
      continue;
    }
    different.push_back(id);
    if (!is_plain) ids[1].push_back(id);
    if (bytes.size() > kMaxShortBytes) ids[2].push_back(id);
  }
  for (size_t i = mask_words(); i < plain_.size(); ++i) plain_[i] |= plain_[i - mask_words()];
  for (size_t i = 0; i < 3; ++i) MakeTree(*this, ids[i], &trees_[i]);
}

std::vector<int32_t> Vocabulary::FewestTokens(std::string_view text) const {
  struct Best {
    uint32_t count;
    uint32_t token;
  };
  FlatVector<Best> best;  // by where the rest begins
  best.assign(text.size() + 1, {UINT32_MAX, 0});
  best.back().count = 0;
  const FlatVector<TokenTree::Node>& nodes = all().nodes;
  for (size_t begin = text.size(); begin-- > 0;) {
    uint32_t at = 0;
    auto end = static_cast<uint32_t>(nodes.size());
    for (size_t i = begin; i < text.size() && at < end;) {
      if (nodes[at].byte() != static_cast<uint8_t>(text[i])) {
        at = nodes[at].end;
        continue;
      }
      ++i;
      if (nodes[at].has_token() && best[i].count < UINT32_MAX &&
          best[i].count + 1 <= best[begin].count) {
        best[begin] = {best[i].count + 1, nodes[at].token()};
      }
      end = nodes[at++].end;
    }
  }
  std::vector<int32_t> tokens;
  if (best[0].count == UINT32_MAX) return tokens;
  for (size_t i = 0; i < text.size(); i += this->text(best[i].token).size()) {
    tokens.push_back(static_cast<int32_t>(best[i].token));
  }
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

}  // namespace graft::runtime
