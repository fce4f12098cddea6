// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/huffman_decoder.h"

#include <algorithm>
#include <cstring>

namespace graft::schema {
namespace {

// Of what was looked up.
constexpr uint32_t kCountBit = 8;
constexpr uint32_t kBytesBit = 16;
constexpr size_t kMostAtOnce = (64 - kBytesBit) / 8;
constexpr uint32_t kBitsMask = 63;
// Fewer bytes are read before the table of runs would be made.
constexpr size_t kFewestTogether = 4096;

}  // namespace

Status HuffmanDecoder::Decode(std::span<const uint8_t> coded, std::span<uint8_t> out) {
  const char* wrong = codes_.Read(&coded, 0);
  BitStreams streams;
  if (wrong == nullptr) wrong = CutIntoStreams(coded, &streams);
  if (wrong != nullptr) return Error(StatusCode::kCorrupt, "its Huffman codes %s", wrong);
  const bool is_worth_runs = out.size() >= kFewestTogether;
  const size_t part = (out.size() + kCodeStreams - 1) / kCodeStreams;
  std::array<std::span<uint8_t>, kCodeStreams> rest;
  for (std::span<uint8_t>& some : rest) {
    some = out.first(std::min(part, out.size()));
    out = out.subspan(some.size());
  }
  if (is_worth_runs) {
    MakeRuns();
    DecodeTogether(&streams, &rest);
  }
  for (size_t i = 0; i < kCodeStreams; ++i) {
    DecodeAlone(&streams[i], rest[i]);
    if (!streams[i].IsAtEnd())
      return Error(StatusCode::kCorrupt, "its Huffman codes do not end as they must");
  }
  return OkStatus();
}

void HuffmanDecoder::MakeRuns() {
  for (uint32_t window = 0; window < run_of_bits_.size(); ++window) {
    uint32_t bits = 0;
    uint64_t bytes = 0, count = 0;
    while (count < kMostAtOnce) {
      const PrefixCodes::Code code = codes_.CodeOf(window >> bits);
      if (bits + code.bits > kLookedUp) break;
      bits += code.bits;
      bytes |= uint64_t{code.value} << (8 * count++);
    }
    run_of_bits_[window] = bytes << kBytesBit | count << kCountBit | bits;
  }
}

// As far as all four stay away from the ends of what they read and write.
void HuffmanDecoder::DecodeTogether(BitStreams* streams,
                                    std::array<std::span<uint8_t>, kCodeStreams>* rest) const {
  constexpr size_t kLooks = 5;  // at the bits that one load brings
  static_assert(kLooks * kLookedUp + 7 < 64 && kCodeStreams == 4 && kMostCodeBits <= kLookedUp);
  constexpr size_t kMostWritten = (kLooks - 1) * kMostAtOnce + sizeof(uint64_t);
  const uint64_t* const run_of_bits = run_of_bits_.data();
  uint8_t* to[kCodeStreams];
  for (size_t i = 0; i < kCodeStreams; ++i) to[i] = (*rest)[i].data();
  const auto has_room = [&](size_t i) __attribute__((always_inline)) {
    const auto written = static_cast<size_t>(to[i] - (*rest)[i].data());
    return (*streams)[i].HasWholeWindow() && (*rest)[i].size() - written >= kMostWritten;
  };
  const auto look = [run_of_bits](uint64_t & window, uint8_t * &at) __attribute__((always_inline)) {
    const uint64_t run = run_of_bits[window & ((1u << kLookedUp) - 1)];
    window >>= run & kBitsMask;
    const uint64_t bytes = run >> kBytesBit;
    std::memcpy(at, &bytes, sizeof(bytes));
    at += static_cast<uint8_t>(run >> kCountBit);
  };
  while (has_room(0) && has_room(1) && has_room(2) && has_room(3)) {
    uint64_t a = (*streams)[0].MarkedWindow(), b = (*streams)[1].MarkedWindow();
    uint64_t c = (*streams)[2].MarkedWindow(), d = (*streams)[3].MarkedWindow();
    uint8_t *to_a = to[0], *to_b = to[1], *to_c = to[2], *to_d = to[3];
    for (size_t i = 0; i < kLooks; ++i) {
      look(a, to_a);
      look(b, to_b);
      look(c, to_c);
      look(d, to_d);
    }
    to[0] = to_a, to[1] = to_b, to[2] = to_c, to[3] = to_d;
    (*streams)[0].GoBehind(a);
    (*streams)[1].GoBehind(b);
    (*streams)[2].GoBehind(c);
    (*streams)[3].GoBehind(d);
  }
  for (size_t i = 0; i < kCodeStreams; ++i)
    (*rest)[i] = (*rest)[i].subspan(static_cast<size_t>(to[i] - (*rest)[i].data()));
}

void HuffmanDecoder::DecodeAlone(BitStream* stream, std::span<uint8_t> rest) const {
  for (uint8_t& byte : rest) {
    const PrefixCodes::Code code = codes_.CodeOf(stream->Window());
    stream->bit += code.bits;
    byte = code.value;
  }
}

}  // namespace graft::schema
