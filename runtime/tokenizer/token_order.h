// SPDX-License-Identifier: Apache-2.0
// TokenOrder: finds the tokens that a text starts with, byte by byte, in the file's list of tokens
// in the order of their bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "runtime/tokenizer/hash_tables.h"

namespace graft::schema::fb {
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Immutable: any number of threads may use it. Borrows the tokenizer's tables.
class TokenOrder {
 public:
  /// All tokens that start with the same `depth` bytes: those at [low, high) of the list.
  struct Node {
    uint32_t low = 0;
    uint32_t high = 0;
    uint32_t depth = 0;
    bool empty() const { return low == high; }
  };

  /// `favourite` are bytes that many tokens start with and many searches go through.
  TokenOrder(const schema::fb::Tokenizer& tables, std::string_view favourite);

  Node root() const { return root_.node; }
  /// Where `favourite` leads from the root.
  Node favourite() const { return favourite_.node; }

  /// The tokens of `node` that go on with `byte`.
  Node Next(Node node, uint8_t byte) const {
    for (const Fan* fan : {&root_, &favourite_}) {
      if (node.low == fan->node.low && node.high == fan->node.high &&
          node.depth == fan->node.depth) {
        return {fan->starts[byte], fan->starts[byte + 1], node.depth + 1};
      }
    }
    return Narrow(node, byte);
  }
  /// The id of the token that is the bytes that lead to `node` and no more, or kNotFound.
  uint32_t TokenAt(Node node) const {
    if (node.empty() || LengthOf(node.low) != node.depth) return kNotFound;
    return order_[node.low];
  }
  /// The id of the token that is `bytes`, or kNotFound.
  uint32_t Find(std::string_view bytes) const;

 private:
  /// Where the tokens of a node go on: those with byte b at [starts[b], starts[b + 1]).
  struct Fan {
    Node node;
    std::array<uint32_t, 257> starts{};
  };

  uint32_t LengthOf(uint32_t place) const {
    return offsets_[order_[place] + 1] - offsets_[order_[place]];
  }
  uint8_t ByteAt(uint32_t place, uint32_t depth) const {
    return bytes_[offsets_[order_[place]] + depth];
  }
  /// The first place of [low, high), whose tokens share `depth` bytes and are longer, with a byte
  /// of at least `byte` there.
  uint32_t LowerBound(uint32_t low, uint32_t high, uint32_t depth, unsigned byte) const;
  Node Narrow(Node node, uint8_t byte) const;
  void Spread(Node node, Fan* fan) const;

  const uint8_t* bytes_;
  const uint32_t* offsets_;
  const uint32_t* order_;
  Fan root_;
  Fan favourite_;
};

}  // namespace graft::runtime
