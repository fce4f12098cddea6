// SPDX-License-Identifier: Apache-2.0
// The walk over a tree of tokens. Most of a mask's time is spent here, so unlike its neighbours this
// file is compiled for speed.
#include "runtime/constrain/matcher.h"

namespace graft::runtime {

/// Adds the tokens of the nodes from `begin` to `end`, which are neighbours, that may follow `state`.
/// With `ends`: the text behind `state` may end where nothing can follow; *ends gets the nodes behind
/// which it has ended, and they are not added. False: somewhere it may end and go on too.
bool Matcher::Walk(const TokenTree& tree, NumberPair range, StateId state, TokenMask* mask,
                   FlatVector<uint32_t>* ends) {
  const TokenTree::Node* const nodes = tree.nodes.data();
  const uint16_t* const depths = tree.depths.data();
  uint64_t* const words = mask->data();
  StateId* const path = path_.data();  // states before nodes, by their depths
  const auto [begin, end] = range;
  path[depths[begin]] = state;
  for (uint32_t i = begin; i < end;) {
    const TokenTree::Node node = nodes[i];
    StateId* const before = path + depths[i];
    StateId next = recognizer_.Known(*before, node.byte());
    if (next == Recognizer::kUnknown) next = recognizer_.Next(*before, node.byte());
    if (next == kDeadState) {
      i = node.end;
      continue;
    }
    if (ends != nullptr && recognizer_.IsAccepting(next)) {
      if (!recognizer_.configs(next).empty()) return false;
      ends->push_back(i);
      i = node.end;
      continue;
    }
    // Without branches: which nodes are tokens cannot be foreseen.
    const uint32_t number = node.token_and_byte >> 8;
    const uint64_t has_token = number != 0 ? 1 : 0;
    const uint32_t token = number - static_cast<uint32_t>(has_token);
    words[token >> 6] |= has_token << (token & 63);
    before[1] = next;
    ++i;
  }
  return true;
}

}  // namespace graft::runtime
