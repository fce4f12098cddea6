// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/token_order.h"

#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {

TokenOrder::TokenOrder(const schema::fb::Tokenizer& tables, std::string_view favourite)
    : bytes_(tables.token_bytes()->data()),
      offsets_(tables.token_offsets()->data()),
      order_(tables.token_order()->data()) {
  Spread({0, tables.token_order()->size(), 0}, &root_);
  Node node = root_.node;
  for (const char c : favourite) node = Narrow(node, static_cast<uint8_t>(c));
  Spread(node, &favourite_);
}

uint32_t TokenOrder::LowerBound(uint32_t low, uint32_t high, uint32_t depth, unsigned byte) const {
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (ByteAt(middle, depth) < byte) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

TokenOrder::Node TokenOrder::Narrow(Node node, uint8_t byte) const {
  uint32_t low = node.low;
  // The one that ends here comes first.
  if (low < node.high && LengthOf(low) == node.depth) ++low;
  low = LowerBound(low, node.high, node.depth, byte);
  uint32_t high = low;
  if (low < node.high && ByteAt(low, node.depth) == byte) {
    high = LowerBound(low + 1, node.high, node.depth, byte + 1u);
  }
  return {low, high, node.depth + 1};
}

void TokenOrder::Spread(Node node, Fan* fan) const {
  fan->node = node;
  uint32_t low = node.low;
  if (low < node.high && LengthOf(low) == node.depth) ++low;
  for (unsigned byte = 0; byte < 256; ++byte) {
    low = LowerBound(low, node.high, node.depth, byte);
    fan->starts[byte] = low;
  }
  fan->starts[256] = node.high;
}

uint32_t TokenOrder::Find(std::string_view bytes) const {
  Node node = root();
  for (const char c : bytes) {
    node = Next(node, static_cast<uint8_t>(c));
    if (node.empty()) return kNotFound;
  }
  return TokenAt(node);
}

}  // namespace graft::runtime
