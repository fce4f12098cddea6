// SPDX-License-Identifier: Apache-2.0
// Packs that were changed on purpose, given the checksums that go with it: what is behind them must
// stand by itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/container.h"
#include "schema/packs/pack.h"
#include "schema/variable_length.h"

namespace graft::test {

inline void PutLittleEndian(uint64_t value, uint8_t* to) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}
inline uint64_t GetLittleEndian(const uint8_t* from) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value |= uint64_t{from[i]} << (8 * i);
  return value;
}

/// Gives blocks, index and preamble their checksums, as far as the bytes still say where they are.
inline void SealPack(std::span<uint8_t> pack) {
  if (pack.size() < schema::kPackPreambleBytes) return;
  const uint64_t begin = GetLittleEndian(&pack[88]);
  const uint64_t size = GetLittleEndian(&pack[96]);
  if (begin <= pack.size() && size <= pack.size() - begin) {
    const std::span<uint8_t> whole = pack.subspan(begin, size);
    std::span<const uint8_t> index = whole;
    uint64_t count = 0;
    uint64_t coded_end = schema::kPackPreambleBytes;
    bool is_sound = schema::TakeNumber(&index, &count);
    for (uint64_t i = 0; i < count && is_sound && !index.empty(); ++i) {
      const uint8_t tag = index.front();
      index = index.subspan(1);
      uint64_t number = 0;
      is_sound = schema::TakeNumber(&index, &number);
      if (is_sound && (tag & 8) == 0) is_sound = schema::TakeNumber(&index, &number);
      if (!is_sound || (tag & 16) == 0) continue;
      uint64_t coded = 0;
      is_sound = schema::TakeNumber(&index, &coded) && index.size() >= 8 && coded_end <= begin &&
                 coded <= begin - coded_end;
      if (!is_sound) break;
      PutLittleEndian(schema::Checksum64(pack.subspan(coded_end, coded)),
                      whole.data() + (index.data() - whole.data()));
      index = index.subspan(8);
      coded_end += coded;
    }
    PutLittleEndian(schema::Checksum64(whole), &pack[104]);
  }
  PutLittleEndian(schema::Checksum64(pack.first(120)), &pack[120]);
}

/// What a pack makes of its base, in memory.
inline Result<std::vector<uint8_t>> Unpack(std::span<const uint8_t> bytes,
                                           const schema::VerifiedModel& base) {
  GRAFT_ASSIGN_OR_RETURN(const schema::Pack pack, schema::Pack::Open(bytes, base));
  std::vector<uint8_t> made;
  // Nothing of a result's size is allocated before it is known what makes it.
  if (pack.preamble().result_bytes > (uint64_t{1} << 26)) {
    return Status(StatusCode::kOutOfMemory, "more than a test makes");
  }
  made.resize(static_cast<size_t>(pack.preamble().result_bytes));
  schema::PackWorkspace workspace;
  for (const schema::PackStep& step : pack.steps()) {
    const std::span<const uint8_t> from = schema::BaseBytesOf(step, base.file_bytes());
    if (step.block == schema::kNoBlock) {
      std::copy(from.begin(), from.end(), made.begin() + static_cast<ptrdiff_t>(step.offset));
    }
  }
  for (size_t i = 0; i < pack.blocks().size(); ++i) {
    std::vector<uint8_t> bytes_of_block(pack.blocks()[i].result_bytes);
    GRAFT_RETURN_IF_ERROR(pack.MakeBlock(i, base.file_bytes(), bytes_of_block.data(), &workspace));
    const uint8_t* from = bytes_of_block.data();
    for (uint32_t s = pack.blocks()[i].first_step; s < pack.blocks()[i].end_step; ++s) {
      const schema::PackStep& step = pack.steps()[s];
      if (step.block != i) continue;
      std::copy_n(from, step.bytes, made.data() + step.offset);
      from += step.bytes;
    }
  }
  return made;
}

}  // namespace graft::test
