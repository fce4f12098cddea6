// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/matcher.h"

#include <algorithm>
#include <utility>

namespace graft::runtime {
namespace {

constexpr uint64_t kMaxSteps = 5000000;  // of one call: a second or so
constexpr size_t kMostPlanned = 8192;    // bytes of an end that is put together from tokens
constexpr size_t kMostTokenBytes = 32;   // of these, on average

}  // namespace

Matcher::Matcher(Grammar grammar, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary), recognizer_(std::move(grammar)), state_(recognizer_.start()) {}

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

void Matcher::Walk(const TokenTree& tree, TokenMask* mask) {
  path_.clear();
  StateId state = state_;
  const auto count = static_cast<uint32_t>(tree.nodes.size());
  uint32_t end = count;  // of what `state` is the start of
  for (uint32_t i = 0; i < count;) {
    while (i >= end) {
      end = path_.back().first;
      state = path_.back().second;
      path_.pop_back();
    }
    const TokenTree::Node node = tree.nodes[i];
    const StateId next = recognizer_.Next(state, node.byte());
    if (next == kDeadState) {
      i = node.end;
      continue;
    }
    if (node.has_token()) AddToken(mask, node.token());
    ++i;
    if (i < node.end) {
      path_.push_back({end, state});
      state = next;
      end = node.end;
    }
  }
}

void Matcher::Fill(TokenMask* mask) {
  // Strings of which any character may come next: most tokens are allowed without a look.
  const std::span<const Recognizer::Config> configs = recognizer_.configs(state_);
  uint32_t free = 0;
  bool is_exact = true;  // whether no other way allows what is plain and longer
  for (const Recognizer::Config& config : configs) {
    bool is_only_free = false;
    const uint32_t characters = recognizer_.pool().FreeCharacters(config.expression, &is_only_free);
    is_exact = is_exact && is_only_free;
    free = std::max(free, characters);
  }
  is_exact = is_exact || free >= Vocabulary::kMaxPlainCharacters;
  if (free != 0) {
    const std::span<const uint64_t> plain = vocabulary_.plain(free);
    std::copy(plain.begin(), plain.end(), mask->begin());
  }
  Walk(free != 0 && is_exact ? vocabulary_.rest() : vocabulary_.all(), mask);
  for (const auto& [token, twin] : vocabulary_.twins()) {
    if (HasToken(*mask, token)) AddToken(mask, twin);
  }
}

Result<const TokenMask*> Matcher::Mask() {
  recognizer_.Allow(kMaxSteps);
  if (generation_ != recognizer_.generation()) {
    generation_ = recognizer_.generation();
    for (Cached& cached : cache_) cached.state = kDeadState;
  }
  for (const Cached& cached : cache_) {
    if (cached.state == state_ && state_ != kDeadState) return &cached.mask;
  }
  next_cached_ = (next_cached_ + 1) % kMaxCached;
  Cached& cached = cache_[next_cached_];
  cached.state = kDeadState;
  cached.mask.assign(vocabulary_.mask_words(), 0);
  if (state_ != kDeadState) Fill(&cached.mask);
  if (recognizer_.overflowed()) {
    return Status(
        StatusCode::kOutOfRange,
        "the constraint is too ambiguous: telling which tokens may follow takes more than "
        "400000 states or 5000000 steps");
  }
  cached.state = state_;
  return &cached.mask;
}

}  // namespace graft::runtime
