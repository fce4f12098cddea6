// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/entropy_encoder.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "converter/packs/prefix_encoder.h"
#include "converter/packs/sparse_encoder.h"
#include "schema/packs/entropy_decoder.h"

namespace graft::converter {
namespace {

using schema::CodedMode;
using schema::kCoderStates;
using schema::kLowestState;
using schema::kSlotBits;
using schema::kSlots;

using Counts = std::array<uint64_t, 256>;

// Slots in proportion to counts; each symbol that occurs has one at least.
std::array<uint32_t, 256> ShareSlots(const Counts& counts, uint64_t total) {
  std::array<uint32_t, 256> slots{};
  int64_t left = kSlots;
  for (size_t i = 0; i < slots.size(); ++i) {
    if (counts[i] == 0) continue;
    slots[i] = static_cast<uint32_t>(std::max<uint64_t>(1, counts[i] * kSlots / total));
    left -= slots[i];
  }
  // The largest one notices least.
  while (left != 0) {
    uint32_t& most = *std::max_element(slots.begin(), slots.end());
    const int64_t change = left > 0 ? left : std::max<int64_t>(left, -1);
    most = static_cast<uint32_t>(most + change);
    left -= change;
  }
  return slots;
}

void PutU32(uint32_t value, std::vector<uint8_t>* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

// Backwards: what is coded last is decoded first.
void PutStates(std::span<const uint8_t> symbols, const std::array<uint32_t, 256>& slots,
               std::vector<uint8_t>* coded) {
  std::array<uint32_t, 256> first{};
  for (size_t i = 1; i < first.size(); ++i) first[i] = first[i - 1] + slots[i - 1];
  std::array<uint32_t, kCoderStates> states;
  states.fill(kLowestState);
  std::vector<uint8_t> words;
  for (size_t i = symbols.size(); i-- > 0;) {
    uint32_t& state = states[i % kCoderStates];
    const uint32_t share = slots[symbols[i]];
    if (state >= uint64_t{share} << (32 - kSlotBits)) {
      words.push_back(static_cast<uint8_t>(state >> 8));
      words.push_back(static_cast<uint8_t>(state));
      state >>= 16;
    }
    state = (state / share << kSlotBits) + state % share + first[symbols[i]];
  }
  for (const uint32_t state : states) PutU32(state, coded);
  coded->insert(coded->end(), words.rbegin(), words.rend());
}

void EncodeDense(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded) {
  const size_t begin = coded->size();
  Counts counts{};
  for (const uint8_t symbol : symbols) ++counts[symbol];
  const auto different = std::count_if(counts.begin(), counts.end(), [](uint64_t n) { return n; });
  if (different == 1) {
    coded->push_back(static_cast<uint8_t>(CodedMode::kConstant));
    coded->push_back(symbols.front());
    return;
  }
  if (different > 1) {
    const std::array<uint32_t, 256> slots = ShareSlots(counts, symbols.size());
    coded->push_back(static_cast<uint8_t>(CodedMode::kCoded));
    coded->push_back(static_cast<uint8_t>(different - 1));
    for (size_t i = 0; i < slots.size(); ++i) {
      if (slots[i] == 0) continue;
      coded->push_back(static_cast<uint8_t>(i));
      PutNumber(slots[i], coded);
    }
    PutStates(symbols, slots, coded);
    if (coded->size() - begin <= symbols.size()) return;
    coded->resize(begin);
  }
  coded->push_back(static_cast<uint8_t>(CodedMode::kStored));
  coded->insert(coded->end(), symbols.begin(), symbols.end());
}

}  // namespace

void EncodeBytes(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded) {
  std::vector<uint8_t> dense;
  EncodeDense(symbols, &dense);
  std::vector<uint8_t> sparse, huffman;
  const bool has_any =
      std::any_of(symbols.begin(), symbols.end(), [](uint8_t b) { return b != 0; });
  if (has_any) {
    EncodeSparse(symbols, &sparse);
    EncodeHuffman(symbols, &huffman);
  }
  // What is decoded sooner may be a little larger: Huffman codes take a third of the time of sparse
  // bytes where those pay as well, and these half as long as any other.
  std::vector<uint8_t>& soon =
      huffman.size() <= sparse.size() + sparse.size() / 32 ? huffman : sparse;
  const bool is_soon = !soon.empty() && soon.size() <= dense.size() + dense.size() / 32;
  const std::vector<uint8_t>& better = is_soon ? soon : dense;
  coded->insert(coded->end(), better.begin(), better.end());
}

void PutNumber(uint64_t number, std::vector<uint8_t>* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<uint8_t>(number | 0x80));
  out->push_back(static_cast<uint8_t>(number));
}

void PutSigned(int64_t number, std::vector<uint8_t>* out) {
  const auto bits = static_cast<uint64_t>(number);
  PutNumber(bits << 1 ^ (number < 0 ? UINT64_MAX : 0), out);
}

}  // namespace graft::converter
