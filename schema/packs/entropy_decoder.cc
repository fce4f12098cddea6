// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/entropy_decoder.h"

#include <cstring>

#include "schema/little_endian.h"
#include "schema/variable_length.h"

namespace graft::schema {
namespace {

Status Corrupt(const char* what) { return Error(StatusCode::kCorrupt, "its coded bytes %s", what); }

}  // namespace

EntropyDecoder::EntropyDecoder()
    : huffman_(std::make_unique<HuffmanDecoder>()),
      symbol_of_slot_(std::make_unique<std::array<uint8_t, kSlots>>()) {}

Status EntropyDecoder::Decode(std::span<const uint8_t> coded, std::span<uint8_t> out) {
  if (coded.empty()) return Corrupt("are none");
  const auto mode = static_cast<CodedMode>(coded.front());
  coded = coded.subspan(1);
  switch (mode) {
    case CodedMode::kStored:
      if (coded.size() != out.size()) return Corrupt("are not as many as they stand for");
      if (!out.empty()) std::memcpy(out.data(), coded.data(), out.size());
      return OkStatus();
    case CodedMode::kConstant:
      if (coded.size() != 1) return Corrupt("repeat more than one");
      if (!out.empty()) std::memset(out.data(), coded.front(), out.size());
      return OkStatus();
    case CodedMode::kCoded:
      GRAFT_RETURN_IF_ERROR(ReadTable(&coded));
      return DecodeStates(coded, out);
    case CodedMode::kHuffman:
      return huffman_->Decode(coded, out);
    case CodedMode::kSparse:
      break;  // of whole planes only
  }
  return Corrupt("have a mode that this build does not know");
}

Status EntropyDecoder::ReadTable(std::span<const uint8_t>* coded) {
  if (coded->empty()) return Corrupt("have no table");
  const unsigned count = coded->front() + 1u;
  *coded = coded->subspan(1);
  uint32_t first = 0;
  int previous = -1;
  for (unsigned i = 0; i < count; ++i) {
    if (coded->empty()) return Corrupt("end within their table");
    const uint8_t symbol = coded->front();
    *coded = coded->subspan(1);
    uint64_t slots = 0;
    if (!TakeNumber(coded, &slots)) return Corrupt("end within their table");
    if (symbol <= previous || slots == 0 || slots >= kSlots || slots > kSlots - first) {
      return Corrupt("have a table that contradicts itself");
    }
    previous = symbol;
    symbols_[symbol] = {static_cast<uint16_t>(slots), static_cast<uint16_t>(first)};
    std::memset(symbol_of_slot_->data() + first, symbol, static_cast<size_t>(slots));
    first += static_cast<uint32_t>(slots);
  }
  return first == kSlots ? OkStatus() : Corrupt("have a table with slots of no symbol");
}

Status EntropyDecoder::DecodeStates(std::span<const uint8_t> coded, std::span<uint8_t> out) const {
  if (coded.size() < kCoderStates * sizeof(uint32_t)) return Corrupt("end within their states");
  uint32_t states[kCoderStates];
  for (size_t i = 0; i < kCoderStates; ++i) states[i] = GetU32(coded.data() + 4 * i);
  const uint8_t* word = coded.data() + sizeof(states);
  const uint8_t* const end = coded.data() + coded.size();
  const uint8_t* const symbol_of_slot = symbol_of_slot_->data();
  const auto advance = [&](uint32_t state, uint8_t& symbol) {
    const uint32_t slot = state & (kSlots - 1);
    symbol = symbol_of_slot[slot];
    const Symbol entry = symbols_[symbol];
    return entry.slots * (state >> kSlotBits) + slot - entry.first_slot;
  };
  // Without a branch: whether a state takes a word cannot be foreseen.
  const auto step = [&](uint32_t& state, uint8_t& symbol) {
    const uint32_t advanced = advance(state, symbol);
    const uint32_t takes = advanced < kLowestState ? 1 : 0;
    const uint32_t taken = advanced << 16 | word[0] | uint32_t{word[1]} << 8;
    state = advanced ^ ((advanced ^ taken) & (0 - takes));
    word += 2 * takes;
  };
  constexpr auto kMostTaken = static_cast<ptrdiff_t>(2 * kCoderStates);
  size_t i = 0;
  for (; i + kCoderStates <= out.size() && end - word >= kMostTaken; i += kCoderStates) {
    step(states[0], out[i]);
    step(states[1], out[i + 1]);
    step(states[2], out[i + 2]);
    step(states[3], out[i + 3]);
  }
  bool is_short = false;
  for (; i < out.size() && !is_short; ++i) {
    uint32_t& state = states[i % kCoderStates];
    state = advance(state, out[i]);
    if (state >= kLowestState) continue;
    is_short = end - word < 2;
    if (is_short) break;
    state = state << 16 | word[0] | uint32_t{word[1]} << 8;
    word += 2;
  }
  // The coder began with these; anything else was not written by one.
  bool is_whole = !is_short && word == end;
  for (const uint32_t state : states) is_whole = is_whole && state == kLowestState;
  return is_whole ? OkStatus() : Corrupt("do not end as they must");
}

}  // namespace graft::schema
