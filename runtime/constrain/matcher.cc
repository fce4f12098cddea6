// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/matcher.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace graft::runtime {
namespace {

constexpr uint64_t kMaxSteps = 5000000;  // of one call: a second or so
constexpr size_t kMostPlanned = 8192;    // bytes of an end that is put together from tokens
constexpr size_t kMostTokenBytes = 32;   // of these, on average

constexpr int kManyBytes = 32;      // that may come first: then looking it up is worth it
constexpr size_t kMaxLookedUp = 4;  // expressions of a state

void Unite(std::span<const uint64_t> tokens, TokenMask* mask) {
  for (size_t i = 0; i < tokens.size(); ++i) (*mask)[i] |= tokens[i];
}

}  // namespace

Matcher::Matcher(Grammar grammar, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), recognizer_(std::move(grammar)), state_(recognizer_.start()) {
  path_.resize(vocabulary.longest() + 1);
}

void Matcher::Restart() { state_ = recognizer_.start(); }

bool Matcher::AcceptText(std::string_view text) {
  if (text.empty()) return false;
  recognizer_.Allow(kMaxSteps);
  StateId state = state_;
  for (const char c : text) {
    state = recognizer_.Next(state, static_cast<uint8_t>(c));
    if (state == kDeadState) return false;
  }
  state_ = recognizer_.Trim(state);
  return true;
}

size_t Matcher::CountAllowed(std::string_view text) {
  recognizer_.Allow(kMaxSteps);
  StateId state = state_;
  for (size_t i = 0; i < text.size(); ++i) {
    state = recognizer_.Next(state, static_cast<uint8_t>(text[i]));
    if (state == kDeadState) return i;
  }
  return text.size();
}

std::string Matcher::ForcedText(size_t most, bool* ends) {
  std::string text;
  recognizer_.Allow(kMaxSteps);
  StateId state = state_;
  while (text.size() < most) {
    const int byte = recognizer_.ForcedByte(state);
    if (byte < 0) break;
    text.push_back(static_cast<char>(byte));
    state = recognizer_.Next(state, static_cast<uint8_t>(byte));
  }
  *ends = recognizer_.IsAccepting(state) && recognizer_.IsFinal(state);
  return text;
}

std::vector<int32_t> Matcher::PlanFrom(StateId state) {
  std::string text;
  if (recognizer_.ShortestEnd(state) > kMostPlanned) return {};
  for (int byte = recognizer_.ByteToEnd(state); byte >= 0; byte = recognizer_.ByteToEnd(state)) {
    text.push_back(static_cast<char>(byte));
    state = recognizer_.Next(state, static_cast<uint8_t>(byte));
    recognizer_.Allow(kMaxSteps);
  }
  return recognizer_.IsAccepting(state) ? vocabulary_.FewestTokens(text) : std::vector<int32_t>();
}

bool Matcher::CanEnd(std::string_view text, size_t tokens) {
  recognizer_.Allow(kMaxSteps);
  StateId state = state_;
  for (const char c : text) state = recognizer_.Next(state, static_cast<uint8_t>(c));
  const uint32_t bytes = recognizer_.ShortestEnd(state);
  if (bytes <= tokens) return true;  // a token for each
  if (bytes > kMostPlanned || bytes / kMostTokenBytes > tokens) return false;
  const size_t count = PlanFrom(state).size();
  return count != 0 && count <= tokens;
}

/// Walk over all of `tree`.
bool Matcher::WalkTree(const TokenTree& tree, StateId state, TokenMask* mask,
                       FlatVector<uint32_t>* ends) {
  ByteSet bytes;
  for (const Recognizer::Config& config : recognizer_.configs(state)) {
    bytes.Unite(recognizer_.pool().FirstBytes(config.expression));
  }
  for (size_t word = 0; word < 4; ++word) {
    for (uint64_t bits = bytes.words[word]; bits != 0; bits &= bits - 1) {
      const uint32_t node =
          tree.first_nodes[word * 64 + static_cast<size_t>(std::countr_zero(bits))];
      if (node == TokenTree::kNone) continue;
      if (!Walk(tree, {node, tree.nodes[node].end}, state, mask, ends)) return false;
    }
  }
  return true;
}

/// Adds the tokens that may follow `state`, as Walk does; *tree is where the ends are.
bool Matcher::FillAll(StateId state, TokenMask* mask, FlatVector<uint32_t>* ends,
                      const TokenTree** tree) {
  // Strings of which any character may come next: most tokens are allowed without a look.
  uint32_t free = 0;
  bool is_exact = true;  // whether no other way allows what is plain and longer
  for (const Recognizer::Config& config : recognizer_.configs(state)) {
    bool is_only_free = false;
    const uint32_t characters = recognizer_.pool().FreeCharacters(config.expression, &is_only_free);
    is_exact = is_exact && is_only_free;
    free = std::max(free, characters);
  }
  is_exact = is_exact || free >= Vocabulary::kMaxPlainCharacters;
  if (free != 0) Unite(vocabulary_.plain(free), mask);
  *tree = free != 0 && is_exact ? &vocabulary_.rest() : &vocabulary_.all();
  return WalkTree(**tree, state, mask, ends);
}

/// What is known of `key`, or else the place of what was of no use for longest, emptied.
Matcher::Found* Matcher::Find(Found::Kind kind, uint32_t key, bool* is_new) {
  Found* oldest = &found_[0];
  ++clock_;
  *is_new = false;
  for (Found& found : found_) {
    if (found.kind == kind && found.key == key) {
      found.used = clock_;
      return &found;
    }
    if (found.used < oldest->used) oldest = &found;
  }
  *is_new = true;
  oldest->kind = kind;
  oldest->key = key;
  oldest->used = clock_;
  oldest->mask.clear();
  oldest->mask.resize(vocabulary_.mask_words());
  oldest->ends.clear();
  return oldest;
}

/// What is known of `expression`; it is found out if need be.
const Matcher::Found& Matcher::FindPiece(Expression expression, bool is_wide) {
  bool is_new = false;
  Found& piece =
      *Find(is_wide ? Found::Kind::kWideExpression : Found::Kind::kExpression, expression, &is_new);
  if (!is_new) return piece;
  const Recognizer::Config alone[] = {{expression, 0}};
  piece.is_usable = FillAll(recognizer_.StateOf(alone), &piece.mask, &piece.ends, &piece.tree);
  if (!is_wide) return piece;
  // Longer tokens are looked at one by one.
  for (const TokenTree::Node& node : vocabulary_.long_tokens().nodes) {
    if (node.has_token()) RemoveToken(&piece.mask, node.token());
  }
  EraseIf(&piece.ends,
          [&](uint32_t end) { return piece.tree->depths[end] > Vocabulary::kMaxShortBytes; });
  return piece;
}

/// Adds the tokens that `config` allows, by what is known of its expression and of what waits behind
/// it. False: they are not to be told apart.
bool Matcher::AddPiece(const Recognizer::Config& config, TokenMask* mask) {
  const Expression wide = recognizer_.pool().Widen(config.expression, Vocabulary::kMaxShortBytes);
  const bool is_wide = wide != config.expression;
  const Found& piece = FindPiece(wide, is_wide);
  if (!piece.is_usable) return false;
  Unite(piece.mask, mask);
  const StateId behind = recognizer_.Behind(config.stack);
  if (behind != kDeadState) {
    for (const uint32_t at : piece.ends) {
      const TokenTree::Node node = piece.tree->nodes[at];
      if (node.has_token()) AddToken(mask, node.token());
      if (at + 1 < node.end) Walk(*piece.tree, {at + 1, node.end}, behind, mask, nullptr);
    }
  }
  if (is_wide) {
    WalkTree(vocabulary_.long_tokens(), recognizer_.StateOf(std::span(&config, 1)), mask, nullptr);
  }
  return true;
}

void Matcher::Fill(TokenMask* mask) {
  const FlatVector<Recognizer::Config> configs(recognizer_.configs(state_));
  FlatVector<Recognizer::Config> others;
  size_t looked_up = 0;
  for (const Recognizer::Config& config : configs) {
    const ExpressionPool& pool = recognizer_.pool();
    const bool is_branched = !pool.IsNullable(config.expression) &&
                             pool.FirstBytes(config.expression).Count() >= kManyBytes;
    if (is_branched && looked_up < kMaxLookedUp && AddPiece(config, mask)) {
      ++looked_up;
    } else {
      others.push_back(config);
    }
  }
  const TokenTree* tree = nullptr;
  const StateId rest = looked_up == 0 ? state_ : recognizer_.StateOf(others);
  if (!others.empty()) FillAll(rest, mask, nullptr, &tree);
  for (const auto& [token, twin] : vocabulary_.twins()) {
    if (HasToken(*mask, token)) AddToken(mask, twin);
  }
}

Result<const TokenMask*> Matcher::Mask() {
  recognizer_.Allow(kMaxSteps);
  if (generation_ != recognizer_.generation()) {
    generation_ = recognizer_.generation();
    for (Found& found : found_) found.kind = Found::Kind::kNothing;
  }
  bool is_new = false;
  Found* const found = Find(Found::Kind::kState, state_, &is_new);
  if (is_new && state_ != kDeadState) Fill(&found->mask);
  if (recognizer_.overflowed()) {
    return Status(
        StatusCode::kOutOfRange,
        "the constraint is too ambiguous: telling which tokens may follow takes more than "
        "400000 states or 5000000 steps");
  }
  return &found->mask;
}

}  // namespace graft::runtime
