// SPDX-License-Identifier: Apache-2.0
// A pack as plain as can be, for tests of what reads packs: what the base has at the same place is
// taken from there, the rest is stored.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "schema/pack.h"
#include "schema/verify.h"
#include "tests/support/sealed_pack.h"

namespace graft::test {

inline void PutPlainNumber(uint64_t number, std::vector<uint8_t>* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<uint8_t>(number | 0x80));
  out->push_back(static_cast<uint8_t>(number));
}

/// Turns `base` into `result`, `piece` bytes at a time.
inline std::vector<uint8_t> PlainPack(std::span<const uint8_t> base,
                                      std::span<const uint8_t> result, size_t piece = 4096) {
  const auto base_model = schema::Verify(base);
  const auto result_model = schema::Verify(result);
  std::vector<uint8_t> blocks;
  std::vector<uint8_t> index;
  uint64_t steps = 0;
  uint64_t base_end = 0;
  for (size_t at = 0; at < result.size(); at += piece, ++steps) {
    const size_t size = std::min(piece, result.size() - at);
    const bool is_same =
        at + size <= base.size() && std::memcmp(base.data() + at, result.data() + at, size) == 0;
    index.push_back(is_same ? 0 : 2 | 8 | 16);  // bytes, on zeros, of a block of their own
    PutPlainNumber(size, &index);
    if (is_same) {
      PutPlainNumber(2 * (at - base_end), &index);
      base_end = at + size;
      continue;
    }
    const size_t begin = blocks.size();
    PutPlainNumber(size + 1, &blocks);
    blocks.push_back(0);  // stored
    blocks.insert(blocks.end(), result.begin() + static_cast<ptrdiff_t>(at),
                  result.begin() + static_cast<ptrdiff_t>(at + size));
    PutPlainNumber(blocks.size() - begin, &index);
    index.resize(index.size() + 8);
  }
  std::vector<uint8_t> counted;
  PutPlainNumber(steps, &counted);
  index.insert(index.begin(), counted.begin(), counted.end());
  schema::PackPreamble preamble;
  preamble.base_bytes = base.size();
  preamble.base_identity = base_model->identity();
  preamble.result_bytes = result.size();
  preamble.result_identity = result_model->identity();
  preamble.result_hash = schema::ContentHash(result, {});
  preamble.index_offset = schema::kPackPreambleBytes + blocks.size();
  preamble.index_bytes = index.size();
  preamble.pack_bytes = preamble.index_offset + index.size();
  const auto head = schema::EncodePackPreamble(preamble);
  std::vector<uint8_t> pack(head.begin(), head.end());
  pack.insert(pack.end(), blocks.begin(), blocks.end());
  pack.insert(pack.end(), index.begin(), index.end());
  SealPack(pack);
  return pack;
}

}  // namespace graft::test
