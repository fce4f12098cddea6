// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/recognizer.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace graft::runtime {
namespace {

using Kind = GrammarSymbol::Kind;

constexpr uint32_t kBottom = 0;        // the stack on which nothing waits
constexpr size_t kMaxConfigs = 20000;  // of one state
constexpr size_t kMaxStates = 400000;  // at once
constexpr size_t kMaxStacks = 2000000;
constexpr size_t kMaxRows = 16384;  // 1 KiB each
constexpr size_t kTrimStates = 60000;
constexpr size_t kTrimStacks = 200000;
constexpr size_t kTrimExpressions = 200000;
constexpr uint16_t kRowAfter = 3;  // bytes followed, then a state gets a row
constexpr size_t kFewSeen = 24;

uint64_t Mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

}  // namespace

Recognizer::Recognizer(Grammar grammar) : grammar_(std::move(grammar)) {
  Reset();
  made_.clear();
  EnterRule(grammar_.start(), kBottom);
  Close();
  start_ = InternState();
}

void Recognizer::Reset() {
  states_.assign(1, State());
  configs_.clear();
  state_table_.assign(256, 0);
  rows_.assign(256, kUnknown);
  edges_.assign(1024, Edge());
  edge_count_ = 0;
  sets_.clear();
  set_ids_.Clear();
  stacks_.assign(1, Stack{0, 0, 0});
  stack_table_.assign(256, 0);
  stack_lengths_.clear();
  missing_.frame = 0;
}

uint32_t Recognizer::Push(uint32_t parent, uint32_t position, uint32_t count) {
  // What waits for nothing but the end of its rule need not wait.
  if (grammar_.symbol(position).kind == Kind::kEnd) return parent;
  const Stack stack{parent, position, count};
  const auto hash = [](const Stack& s) { return Mix(Mix(s.parent, s.position), s.count); };
  if ((stacks_.size() + 1) * 2 > stack_table_.size()) {
    stack_table_.assign(stack_table_.size() * 2, 0);
    for (size_t i = 1; i < stacks_.size(); ++i) {
      size_t slot = hash(stacks_[i]) & (stack_table_.size() - 1);
      while (stack_table_[slot] != 0) slot = (slot + 1) & (stack_table_.size() - 1);
      stack_table_[slot] = static_cast<uint32_t>(i);
    }
  }
  size_t slot = hash(stack) & (stack_table_.size() - 1);
  while (stack_table_[slot] != 0) {
    if (stacks_[stack_table_[slot]] == stack) return stack_table_[slot];
    slot = (slot + 1) & (stack_table_.size() - 1);
  }
  if (stacks_.size() >= kMaxStacks) {
    overflowed_ = true;
    return kBottom;
  }
  stacks_.push_back(stack);
  stack_table_[slot] = static_cast<uint32_t>(stacks_.size() - 1);
  return stack_table_[slot];
}

void Recognizer::EnterRule(RuleId rule, uint32_t stack) {
  for (const uint32_t way : grammar_.ways(rule)) work_.push_back({way, 0, stack});
}

bool Recognizer::IsNew(const Place& place) {
  const auto is_same = [&](const Place& other) {
    return other.position == place.position && other.count == place.count &&
           other.stack == place.stack;
  };
  if (seen_.size() < kFewSeen) {
    if (std::ranges::any_of(seen_, is_same)) return false;
    seen_.push_back(place);
    return true;
  }
  const auto hash = [](const Place& p) { return Mix(Mix(p.position, p.count), p.stack); };
  if (seen_.size() == kFewSeen || seen_.size() * 2 > seen_table_.size()) {
    seen_table_.assign(
        std::max<size_t>(256, seen_.size() == kFewSeen ? 256 : seen_table_.size() * 2), 0);
    for (size_t i = 0; i < seen_.size(); ++i) {
      size_t slot = hash(seen_[i]) & (seen_table_.size() - 1);
      while (seen_table_[slot] != 0) slot = (slot + 1) & (seen_table_.size() - 1);
      seen_table_[slot] = static_cast<uint32_t>(i + 1);
    }
  }
  size_t slot = hash(place) & (seen_table_.size() - 1);
  while (seen_table_[slot] != 0) {
    if (is_same(seen_[seen_table_[slot] - 1])) return false;
    slot = (slot + 1) & (seen_table_.size() - 1);
  }
  seen_.push_back(place);
  seen_table_[slot] = static_cast<uint32_t>(seen_.size());
  return true;
}

void Recognizer::Follow(const Place& place) {
  const GrammarSymbol& symbol = grammar_.symbol(place.position);
  switch (symbol.kind) {
    case Kind::kEnd: {
      if (place.stack == kBottom) {
        accepts_ = true;
        return;
      }
      const Stack& top = stacks_[place.stack];
      work_.push_back({top.position, top.count, top.parent});
      return;
    }
    case Kind::kExpression:
      made_.push_back({symbol.value, Push(place.stack, place.position + 1, 0)});
      if (grammar_.pool().IsNullable(symbol.value)) {
        work_.push_back({place.position + 1, 0, place.stack});
      }
      return;
    case Kind::kRule:
      EnterRule(symbol.value, Push(place.stack, place.position + 1, 0));
      return;
    case Kind::kRepeat: {
      if (place.count >= symbol.min) work_.push_back({place.position + 1, 0, place.stack});
      if (place.count >= symbol.max) return;
      const bool counts = symbol.max != kUnbounded || place.count < symbol.min;
      EnterRule(symbol.value,
                Push(place.stack, place.position, counts ? place.count + 1 : place.count));
      return;
    }
    case Kind::kMembers:
      FollowMembers(place);
      return;
    case Kind::kMemberEnd:
      EndMember(place);
      return;
  }
}

/// Adds to made_ all that can be read from the places in work_.
void Recognizer::Close() {
  seen_.clear();
  ExpressionPool& pool = grammar_.pool();
  while (!work_.empty()) {
    const Place place = work_.back();
    work_.pop_back();
    pool.Spend(1);
    if (!IsNew(place)) continue;
    if (pool.overflowed() || seen_.size() > kMaxConfigs * 4 || made_.size() > kMaxConfigs) {
      overflowed_ = true;
      work_.clear();
      return;
    }
    Follow(place);
  }
}

StateId Recognizer::InternState() {
  SortPairs(made_.data(), made_.size());
  made_.resize(static_cast<size_t>(std::unique(made_.begin(), made_.end()) - made_.begin()));
  const bool accepts = std::exchange(accepts_, false);
  if (made_.empty() && !accepts) return kDeadState;
  const auto hash = [](std::span<const Config> configs, bool is_accepting) {
    uint64_t value = is_accepting ? 1 : 0;
    for (const Config& config : configs) {
      value = Mix(value, uint64_t{config.expression} << 32 | config.stack);
    }
    return value;
  };
  if ((states_.size() + 1) * 2 > state_table_.size()) {
    state_table_.assign(state_table_.size() * 2, 0);
    for (StateId id = 1; id < states_.size(); ++id) {
      size_t slot = hash(configs(id), states_[id].is_accepting) & (state_table_.size() - 1);
      while (state_table_[slot] != 0) slot = (slot + 1) & (state_table_.size() - 1);
      state_table_[slot] = id;
    }
  }
  size_t slot = hash(made_, accepts) & (state_table_.size() - 1);
  while (state_table_[slot] != 0) {
    const StateId id = state_table_[slot];
    if (states_[id].is_accepting == accepts && std::ranges::equal(configs(id), made_)) return id;
    slot = (slot + 1) & (state_table_.size() - 1);
  }
  if (states_.size() >= kMaxStates || configs_.size() > kMaxStates * 8) {
    overflowed_ = true;
    return kDeadState;
  }
  State state;
  state.begin = static_cast<uint32_t>(configs_.size());
  state.count = static_cast<uint32_t>(made_.size());
  state.is_accepting = accepts;
  configs_.Append(made_);
  states_.push_back(state);
  state_table_[slot] = static_cast<StateId>(states_.size() - 1);
  return state_table_[slot];
}

StateId Recognizer::Compute(StateId state, uint8_t byte) {
  made_.clear();
  ExpressionPool& pool = grammar_.pool();
  const State from = states_[state];
  pool.Spend(1 + from.count);
  if (overflowed()) return kDeadState;
  for (uint32_t i = from.begin; i < from.begin + from.count; ++i) {
    const Config config = configs_[i];
    const Expression rest = pool.Derive(config.expression, byte);
    if (rest == kNothing) continue;
    if (rest != kEmpty && pool.IsAlive(rest)) made_.push_back({rest, config.stack});
    if (!pool.IsNullable(rest)) continue;
    if (config.stack == kBottom) {
      accepts_ = true;
    } else {
      const Stack& top = stacks_[config.stack];
      work_.push_back({top.position, top.count, top.parent});
    }
  }
  if (!work_.empty()) Close();
  return InternState();
}

StateId Recognizer::StateOf(std::span<const Config> configs) {
  made_.clear();
  made_.Append(configs);
  return InternState();
}

StateId Recognizer::Behind(uint32_t stack) {
  made_.clear();
  if (stack == kBottom) {
    accepts_ = true;
  } else {
    const Stack& top = stacks_[stack];
    work_.push_back({top.position, top.count, top.parent});
    Close();
  }
  return InternState();
}

Recognizer::Edge* Recognizer::FindEdge(uint64_t key) {
  size_t slot = key * 0x9E3779B97F4A7C15u >> 24 & (edges_.size() - 1);
  while (edges_[slot].key != UINT64_MAX && edges_[slot].key != key) {
    slot = (slot + 1) & (edges_.size() - 1);
  }
  return &edges_[slot];
}

void Recognizer::AddRow(StateId state) {
  if (rows_.size() >= kMaxRows * 256) return;
  states_[state].row = static_cast<uint32_t>(rows_.size() / 256);
  rows_.resize(rows_.size() + 256);
  std::fill_n(rows_.end() - 256, 256, kUnknown);
}

StateId Recognizer::NextSlow(StateId state, uint8_t byte) {
  if (state == kDeadState) return kDeadState;
  const uint64_t key = uint64_t{state} << 8 | byte;
  const bool has_row = states_[state].row != kNoRow;
  if (const Edge* edge = FindEdge(key); edge->key == key) {
    if (has_row) rows_[size_t{states_[state].row} * 256 + byte] = edge->target;
    return edge->target;
  }
  const StateId target = Compute(state, byte);
  if (!has_row && ++states_[state].computed > kRowAfter) AddRow(state);
  if (const uint32_t row = states_[state].row; row != kNoRow) {
    StateId* const cells = rows_.data() + size_t{row} * 256;
    ByteSet same;
    same.words.fill(UINT64_MAX);
    for (const Config& config : configs(state)) {
      same.Intersect(pool().SameBytes(config.expression, byte));
    }
    for (size_t word = 0; word < 4; ++word) {
      for (uint64_t bits = same.words[word]; bits != 0; bits &= bits - 1) {
        cells[word * 64 + static_cast<size_t>(std::countr_zero(bits))] = target;
      }
    }
    return target;
  }
  if (++edge_count_ * 2 > edges_.size()) {
    FlatVector<Edge> old;
    old.assign(edges_.size() * 2, Edge());
    old.swap(edges_);
    for (const Edge& edge : old) {
      if (edge.key != UINT64_MAX) *FindEdge(edge.key) = edge;
    }
  }
  *FindEdge(key) = {key, target};
  return target;
}

/// The first two bytes that may follow; -1 for those that there are not.
std::array<int, 2> Recognizer::FirstFollowing(StateId state) {
  ByteSet bytes;
  for (const Config& config : configs(state)) {
    bytes.Unite(pool().FirstBytes(config.expression));
  }
  std::array<int, 2> found = {-1, -1};
  for (int byte = 0; byte < 256; ++byte) {
    if (!bytes.Has(static_cast<uint8_t>(byte))) continue;
    if (Next(state, static_cast<uint8_t>(byte)) == kDeadState) continue;
    found[found[0] < 0 ? 0 : 1] = byte;
    if (found[1] >= 0) break;
  }
  return found;
}

int Recognizer::ForcedByte(StateId state) {
  if (state == kDeadState || IsAccepting(state)) return -1;
  const auto [byte, other] = FirstFollowing(state);
  return other < 0 ? byte : -1;
}

// What is left of an expression may match the empty text alone, and not look so.
bool Recognizer::IsFinal(StateId state) {
  return states_[state].count == 0 || FirstFollowing(state)[0] < 0;
}

StateId Recognizer::Trim(StateId state) {
  if (states_.size() < kTrimStates && stacks_.size() < kTrimStacks &&
      pool().size() < kTrimExpressions) {
    return state;
  }
  ++generation_;
  FlatVector<Config> kept(configs(state));
  const bool accepts = IsAccepting(state);
  const FlatVector<Stack> stacks = std::move(stacks_);
  const std::vector<MemberSet> sets = std::move(sets_);
  Reset();
  FlatVector<Expression> live;
  for (const Config& config : kept) live.push_back(config.expression);
  grammar_.pool().Compact(std::span(live.data(), live.size()));
  FlatVector<uint32_t> path;
  for (size_t i = 0; i < kept.size(); ++i) {
    kept[i].expression = live[i];
    path.clear();
    for (uint32_t at = kept[i].stack; at != kBottom; at = stacks[at].parent) path.push_back(at);
    uint32_t moved = kBottom;
    for (size_t k = path.size(); k-- > 0;) {
      Stack stack = stacks[path[k]];
      if (grammar_.symbol(stack.position).kind == Kind::kMembers && stack.count > 1) {
        stack.count = InternSet(sets[(stack.count >> 1) - 1]) << 1 | (stack.count & 1);
      }
      moved = Push(moved, stack.position, stack.count);
    }
    kept[i].stack = moved;
  }
  made_ = kept;
  accepts_ = accepts;
  const StateId result = InternState();
  // The start's own state is made again when it is asked for.
  made_.clear();
  EnterRule(grammar_.start(), kBottom);
  Close();
  start_ = InternState();
  return result;
}

}  // namespace graft::runtime
