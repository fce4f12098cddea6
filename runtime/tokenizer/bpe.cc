// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/bpe.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

#include "runtime/base/utf8.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Up to here a scan for the lowest rank is faster than a heap.
constexpr size_t kFewSymbols = 40;
constexpr uint32_t kMergesBetweenChecks = 1 << 16;

std::string_view TokenBytes(const fb::Tokenizer& tables, uint32_t id) {
  const uint32_t begin = tables.token_offsets()->Get(id);
  const uint32_t end = tables.token_offsets()->Get(id + 1);
  return {reinterpret_cast<const char*>(tables.token_bytes()->data()) + begin, end - begin};
}

bool IsOneCharacter(std::string_view bytes) {
  return bytes.size() <= 4 && Utf8Length(bytes[0]) == bytes.size() && IsValidUtf8(bytes);
}

/// The byte that a token such as "<0xE2>" stands for; -1 if it is none of those.
int FallbackByte(std::string_view bytes) {
  if (bytes.size() != 6 || !bytes.starts_with("<0x") || bytes[5] != '>') return -1;
  int byte = 0;
  for (const char c : bytes.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

}  // namespace

BytePairEncoder::BytePairEncoder(const fb::Tokenizer& tables)
    : tables_(&tables),
      merge_results_(tables.merge_results()->data()),
      tokens_(reinterpret_cast<const char*>(tables.token_bytes()->data()),
              tables.token_offsets()->data()) {
  byte_ids_.fill(kNotFound);
}

Result<BytePairEncoder> BytePairEncoder::Create(const fb::Tokenizer& tables) {
  BytePairEncoder encoder(tables);
  GRAFT_RETURN_IF_ERROR(
      encoder.merges_.Fill({tables.merges()->data(), size_t{tables.merges()->size()}}));

  const uint32_t count = tables.token_offsets()->size() - 1;
  const bool symbols_are_bytes = tables.symbols_are_bytes();
  std::vector<bool> is_outside(count);
  if (tables.added_tokens() != nullptr) {
    for (const fb::AddedToken* added : *tables.added_tokens()) {
      is_outside[added->id()] = added->outside_vocabulary();
    }
  }
  const auto is_looked_up = [&](uint32_t id, std::string_view bytes) {
    if (bytes.empty() || is_outside[id]) return false;
    return tables.ignore_merges() || (!symbols_are_bytes && IsOneCharacter(bytes));
  };
  size_t entries = 0;
  for (uint32_t id = 0; id < count; ++id) entries += is_looked_up(id, TokenBytes(tables, id));
  if (entries > 0) encoder.tokens_.Reserve(entries);
  for (uint32_t id = 0; id < count; ++id) {
    const std::string_view bytes = TokenBytes(tables, id);
    if (is_outside[id]) continue;
    if (is_looked_up(id, bytes)) GRAFT_RETURN_IF_ERROR(encoder.tokens_.Add(id));
    if (symbols_are_bytes && bytes.size() == 1) {
      uint32_t& byte_id = encoder.byte_ids_[static_cast<uint8_t>(bytes[0])];
      byte_id = std::min(byte_id, id);
    }
    if (const int byte = symbols_are_bytes ? -1 : FallbackByte(bytes); byte >= 0) {
      encoder.byte_ids_[byte] = std::min(encoder.byte_ids_[byte], id);
    }
  }
  encoder.falls_back_to_bytes_ = !symbols_are_bytes && tables.byte_fallback();
  return encoder;
}

void BytePairEncoder::ReadSymbols(std::string_view piece, BpeScratch& scratch) const {
  std::vector<uint32_t>& symbols = scratch.symbols_;
  symbols.clear();
  const auto unknown = static_cast<uint32_t>(tables_->unknown_id());  // kNotFound if there is none
  const bool fuse_unknown = tables_->fuse_unknown();
  // An unknown symbol is held back, for its neighbours may join it. Bytes that stand in for a
  // symbol overtake it, which is how Hugging Face's tokenizers order them.
  bool holds_unknown = false;
  for (size_t at = 0; at < piece.size();) {
    const size_t length = tables_->symbols_are_bytes() ? 1 : Utf8Length(piece[at]);
    const std::string_view symbol = piece.substr(at, length);
    at += length;
    const uint32_t id = tables_->symbols_are_bytes() ? byte_ids_[static_cast<uint8_t>(symbol[0])]
                                                     : tokens_.Find(symbol);
    if (id != kNotFound) {
      if (holds_unknown) symbols.push_back(unknown);
      holds_unknown = false;
      symbols.push_back(id);
      continue;
    }
    if (falls_back_to_bytes_ && std::all_of(symbol.begin(), symbol.end(), [&](char c) {
          return byte_ids_[static_cast<uint8_t>(c)] != kNotFound;
        })) {
      for (const char c : symbol) symbols.push_back(byte_ids_[static_cast<uint8_t>(c)]);
      continue;
    }
    if (unknown == kNotFound) continue;
    if (holds_unknown && !fuse_unknown) symbols.push_back(unknown);
    holds_unknown = true;
  }
  if (holds_unknown) symbols.push_back(unknown);
}

void BytePairEncoder::MergeFew(BpeScratch& scratch) const {
  std::vector<uint32_t>& symbols = scratch.symbols_;
  std::vector<uint32_t>& ranks = scratch.ranks_;
  size_t count = symbols.size();
  ranks.resize(count);
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges_.Find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNotFound) break;
    symbols[best] = merge_results_[ranks[best]];
    --count;
    const size_t moved = count - best - 1;
    std::memmove(symbols.data() + best + 1, symbols.data() + best + 2, moved * sizeof(uint32_t));
    // ranks[i] belongs to the pair (i, i + 1): the pair that was merged goes, its neighbours
    // change.
    std::memmove(ranks.data() + best, ranks.data() + best + 1, moved * sizeof(uint32_t));
    if (best > 0) ranks[best - 1] = merges_.Find(symbols[best - 1], symbols[best]);
    if (moved > 0) ranks[best] = merges_.Find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

Status BytePairEncoder::MergeMany(PatternScratch& budget, BpeScratch& scratch) const {
  // A list of symbols, and a heap of (rank, position). An entry is stale once its position's rank
  // has changed.
  std::vector<BpeScratch::Node>& nodes = scratch.nodes_;
  std::vector<uint64_t>& heap = scratch.heap_;
  const auto count = static_cast<int32_t>(scratch.symbols_.size());
  const auto entry = [](uint32_t rank, int32_t at) {
    return uint64_t{rank} << 32 | static_cast<uint32_t>(at);
  };
  nodes.resize(scratch.symbols_.size());
  heap.clear();
  for (int32_t i = 0; i < count; ++i) {
    const bool is_last = i + 1 == count;
    const uint32_t rank =
        is_last ? kNotFound : merges_.Find(scratch.symbols_[i], scratch.symbols_[i + 1]);
    nodes[i] = {scratch.symbols_[i], rank, i - 1, is_last ? -1 : i + 1};
    if (rank != kNotFound) heap.push_back(entry(rank, i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto update = [&](int32_t at) {
    BpeScratch::Node& node = nodes[at];
    node.rank = node.next < 0 ? kNotFound : merges_.Find(node.id, nodes[node.next].id);
    if (node.rank == kNotFound) return;
    heap.push_back(entry(node.rank, at));
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  for (uint32_t taken = 1; !heap.empty(); ++taken) {
    if (taken % kMergesBetweenChecks == 0 && !budget.CheckTime()) return budget.why();
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto at = static_cast<int32_t>(heap.back() & 0xFFFFFFFFu);
    heap.pop_back();
    BpeScratch::Node& left = nodes[at];
    if (left.rank != rank) continue;
    BpeScratch::Node& right = nodes[left.next];
    left.id = merge_results_[rank];
    left.next = right.next;
    right.rank = kNotFound;  // no entry of it counts any more
    if (left.next >= 0) nodes[left.next].previous = at;
    update(at);
    if (left.previous >= 0) update(left.previous);
  }
  size_t kept = 0;
  for (int32_t at = 0; at >= 0; at = nodes[at].next) scratch.symbols_[kept++] = nodes[at].id;
  scratch.symbols_.resize(kept);
  return OkStatus();
}

Status BytePairEncoder::Encode(std::string_view piece, PatternScratch& budget, BpeScratch& scratch,
                               std::vector<int32_t>* ids) const {
  const uint32_t whole = tables_->ignore_merges() ? tokens_.Find(piece) : kNotFound;
  if (whole != kNotFound) {
    ids->push_back(static_cast<int32_t>(whole));
    return OkStatus();
  }
  ReadSymbols(piece, scratch);
  if (scratch.symbols_.size() > kFewSymbols) {
    GRAFT_RETURN_IF_ERROR(MergeMany(budget, scratch));
  } else if (scratch.symbols_.size() > 1) {
    MergeFew(scratch);
  }
  ids->insert(ids->end(), scratch.symbols_.begin(), scratch.symbols_.end());
  return OkStatus();
}

}  // namespace graft::runtime
