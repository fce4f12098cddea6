// SPDX-License-Identifier: Apache-2.0
// Vocabulary: the bytes of a model's tokens as a tree, and the tokens that any JSON string may hold.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/flat_vector.h"

namespace graft::runtime {

/// Bits of tokens.
using TokenMask = FlatVector<uint64_t>;
inline bool HasToken(const TokenMask& mask, uint32_t id) {
  return (mask[id >> 6] >> (id & 63) & 1) != 0;
}
inline void AddToken(TokenMask* mask, uint32_t id) { (*mask)[id >> 6] |= uint64_t{1} << (id & 63); }
inline void RemoveToken(TokenMask* mask, uint32_t id) {
  (*mask)[id >> 6] &= ~(uint64_t{1} << (id & 63));
}

/// A tree of bytes in the order of a walk: a node's children follow it, up to its `end`.
struct TokenTree {
  struct Node {
    uint32_t token_and_byte;  ///< (token + 1) << 8 | byte; token 0 of these: none
    uint32_t end;             ///< the node behind the last that is below this
    uint8_t byte() const { return static_cast<uint8_t>(token_and_byte); }
    bool has_token() const { return token_and_byte >> 8 != 0; }
    uint32_t token() const { return (token_and_byte >> 8) - 1; }
  };
  FlatVector<Node> nodes;
  FlatVector<uint16_t> depths;            ///< of each node; 0: it begins a token
  std::array<uint32_t, 256> first_nodes;  ///< by the byte that begins a token; kNone: none does
  static constexpr uint32_t kNone = UINT32_MAX;
};

/// Immutable. About 25 bytes a token, and as many bits a token as there are plain lengths.
class Vocabulary {
 public:
  static constexpr uint32_t kMaxPlainCharacters = 16;
  static constexpr uint32_t kMaxShortBytes = 32;
  static constexpr uint32_t kMaxTokenBytes = 65535;  ///< longer ones are never allowed

  /// texts: the bytes of each token; those of tokens that constrained text never has are empty.
  /// Requires fewer than 2^24 tokens.
  Vocabulary(const std::vector<std::string>& texts, uint32_t size);

  uint32_t size() const { return size_; }      ///< ids are below this
  size_t longest() const { return longest_; }  ///< bytes of the longest token
  size_t mask_words() const { return (size_ + 63) / 64; }
  std::string_view text(uint32_t id) const {
    return id + 1 < offsets_.size()
               ? std::string_view(bytes_).substr(offsets_[id], offsets_[id + 1] - offsets_[id])
               : std::string_view();
  }

  /// All tokens, but for those of the same bytes as one before them.
  const TokenTree& all() const { return trees_[0]; }
  /// All tokens but those that are plain and have at most kMaxPlainCharacters.
  const TokenTree& rest() const { return trees_[1]; }
  /// Those of more than kMaxShortBytes.
  const TokenTree& long_tokens() const { return trees_[2]; }
  /// Plain tokens, which are whole characters that stand for themselves in a JSON string, of at
  /// most `characters` of them.
  std::span<const uint64_t> plain(uint32_t characters) const {
    const uint32_t row = characters < kMaxPlainCharacters ? characters : kMaxPlainCharacters;
    return std::span<const uint64_t>(plain_).subspan(row * mask_words(), mask_words());
  }
  /// The fewest tokens that spell `text`, the first last; empty if none do.
  std::vector<int32_t> FewestTokens(std::string_view text) const;
  /// Pairs of a token in the trees and another of the same bytes.
  std::span<const NumberPair> twins() const { return twins_; }

 private:
  std::string bytes_;
  FlatVector<uint32_t> offsets_;
  uint32_t size_;
  size_t longest_ = 0;
  TokenTree trees_[3];
  TokenMask plain_;  // a row for each count of characters
  FlatVector<NumberPair> twins_;
};

}  // namespace graft::runtime
