// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/prefix_codes.h"

#include <bit>

#include "schema/variable_length.h"

namespace graft::schema {

static_assert(std::endian::native == std::endian::little);

const char* PrefixCodes::Read(std::span<const uint8_t>* coded, uint8_t least) {
  if (coded->empty()) return "have no codes";
  count_ = coded->front() + size_t{1};
  *coded = coded->subspan(1);
  if (coded->size() < 2 * count_) return "end within their codes";
  int previous = least - 1;
  for (size_t i = 0; i < count_; ++i) {
    all_[i] = {(*coded)[2 * i], (*coded)[2 * i + 1]};
    if (all_[i].value <= previous || all_[i].bits > kMostCodeBits) return "have codes out of order";
    previous = all_[i].value;
  }
  *coded = coded->subspan(2 * count_);
  // Codes of one length are ascending, after all shorter ones; the first bit is the lowest.
  size_t next = 0;
  for (uint32_t bits = 0; bits <= kMostCodeBits; ++bits) {
    const size_t share = size_t{1} << (kMostCodeBits - bits);
    for (const Code code : all()) {
      if (code.bits != bits) continue;
      if (share > of_bits_.size() - next) return "have too many codes";
      // `next` counts in reverse order of bits.
      size_t first = 0;
      for (uint32_t bit = 0; bit < kMostCodeBits; ++bit)
        first |= (next >> bit & 1) << (kMostCodeBits - 1 - bit);
      bits_of_value_[code.value] = static_cast<uint16_t>(first);
      for (size_t at = first; at < of_bits_.size(); at += size_t{1} << bits) of_bits_[at] = code;
      next += share;
    }
  }
  return next == of_bits_.size() ? nullptr : "have bits of no code";
}

const char* CutIntoStreams(std::span<const uint8_t> coded, BitStreams* streams) {
  uint64_t sizes[kCodeStreams - 1];
  for (uint64_t& size : sizes) {
    if (!TakeNumber(&coded, &size)) return "end before their streams";
  }
  for (size_t i = 0; i < kCodeStreams; ++i) {
    const uint64_t size = i + 1 < kCodeStreams ? sizes[i] : coded.size();
    if (size > coded.size()) return "end within their streams";
    (*streams)[i] = {coded.data(), 0, size};
    coded = coded.subspan(static_cast<size_t>(size));
  }
  return nullptr;
}

}  // namespace graft::schema
