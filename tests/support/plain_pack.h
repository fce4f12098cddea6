// SPDX-License-Identifier: Apache-2.0
// A pack as plain as can be, for tests of what reads packs: what the base has at the same place is
// taken from there; of the rest every other piece is stored or in Huffman codes, and every other one
// sparse.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "schema/packs/pack.h"
#include "schema/verify.h"
#include "tests/support/sealed_pack.h"

namespace graft::test {

inline void PutPlainNumber(uint64_t number, std::vector<uint8_t>* out) {
  for (; number >= 0x80; number >>= 7) out->push_back(static_cast<uint8_t>(number | 0x80));
  out->push_back(static_cast<uint8_t>(number));
}

/// Sparse bytes, written as simply as the format allows: of gaps no lower parts, of bytes the codes
/// that are longest for all but one.
inline std::vector<uint8_t> PlainSparse(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> streams[4];
  size_t bits[4] = {};
  size_t entries = 0;
  const auto put = [&](bool bit) {
    const size_t stream = entries % 4;
    if (bits[stream] % 8 == 0) streams[stream].push_back(0);
    if (bit) streams[stream].back() |= static_cast<uint8_t>(1u << bits[stream] % 8);
    ++bits[stream];
  };
  const auto put_gap = [&](size_t zeros) {
    for (size_t i = 0; i < zeros; ++i) put(false);
    put(true);
  };
  size_t gap = 0;
  for (const uint8_t byte : bytes) {
    if (byte == 0) {
      ++gap;
      continue;
    }
    for (; gap >= 31; gap -= 31, ++entries) put_gap(31);
    put_gap(gap);
    // One has seven bits, the others eight, whose codes happen to be their bytes.
    for (int bit = 7; bit >= (byte == 1 ? 1 : 0); --bit) put(byte != 1 && (byte >> bit & 1) != 0);
    ++entries;
    gap = 0;
  }
  std::vector<uint8_t> coded = {3};
  PutPlainNumber(entries, &coded);
  coded.insert(coded.end(), {0, 254, 1, 7});
  for (unsigned value = 2; value < 256; ++value) {
    coded.push_back(static_cast<uint8_t>(value));
    coded.push_back(8);
  }
  for (size_t i = 0; i < 3; ++i) PutPlainNumber(streams[i].size(), &coded);
  for (const std::vector<uint8_t>& stream : streams)
    coded.insert(coded.end(), stream.begin(), stream.end());
  return coded;
}

/// Huffman codes that are the bytes themselves, the highest bit first, at least one.
inline std::vector<uint8_t> PlainHuffman(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> coded = {4, 255};
  for (unsigned value = 0; value < 256; ++value) {
    coded.push_back(static_cast<uint8_t>(value));
    coded.push_back(8);
  }
  const size_t part = (bytes.size() + 3) / 4;
  for (size_t i = 0; i < 3; ++i)
    PutPlainNumber(std::min(part, bytes.size() - std::min(bytes.size(), i * part)), &coded);
  for (const uint8_t byte : bytes) {
    unsigned reversed = 0;
    for (unsigned bit = 0; bit < 8; ++bit) reversed |= (byte >> bit & 1u) << (7 - bit);
    coded.push_back(static_cast<uint8_t>(reversed));
  }
  return coded;
}

/// Turns `base` into `result`, `piece` bytes at a time. Packs of version 1 have no sparse bytes, and
/// those of version 2 no Huffman codes.
inline std::vector<uint8_t> PlainPack(std::span<const uint8_t> base,
                                      std::span<const uint8_t> result, size_t piece = 4096,
                                      uint32_t version = schema::kPackVersion) {
  const auto base_model = schema::Verify(base);
  const auto result_model = schema::Verify(result);
  std::vector<uint8_t> blocks;
  std::vector<uint8_t> index;
  uint64_t steps = 0;
  uint64_t base_end = 0;
  for (size_t at = 0; at < result.size(); at += piece, ++steps) {
    const size_t size = std::min(piece, result.size() - at);
    const bool has_base = at + size <= base.size();
    const bool is_same = has_base && std::memcmp(base.data() + at, result.data() + at, size) == 0;
    const bool is_sparse = has_base && !is_same && steps % 2 == 1 && version > 1;
    // Bytes of a block of their own; what is stored is on zeros.
    index.push_back(static_cast<uint8_t>(is_same ? 0 : is_sparse ? 2 | 16 : 2 | 8 | 16));
    PutPlainNumber(size, &index);
    if (is_same || is_sparse) {
      PutPlainNumber(2 * (at - base_end), &index);
      base_end = at + size;
    }
    if (is_same) continue;
    std::vector<uint8_t> coded(result.begin() + static_cast<ptrdiff_t>(at),
                               result.begin() + static_cast<ptrdiff_t>(at + size));
    if (is_sparse) {
      for (size_t i = 0; i < size; ++i) coded[i] = static_cast<uint8_t>(coded[i] - base[at + i]);
      coded = PlainSparse(coded);
    } else if (version > 2 && steps % 3 == 0) {
      coded = PlainHuffman(coded);
    } else {
      coded.insert(coded.begin(), 0);  // stored
    }
    const size_t begin = blocks.size();
    PutPlainNumber(coded.size(), &blocks);
    blocks.insert(blocks.end(), coded.begin(), coded.end());
    PutPlainNumber(blocks.size() - begin, &index);
    index.resize(index.size() + 8);
  }
  std::vector<uint8_t> counted;
  PutPlainNumber(steps, &counted);
  index.insert(index.begin(), counted.begin(), counted.end());
  schema::PackPreamble preamble;
  preamble.version = version;
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

/// Turns `base` into `result`, a file of the same header size, tensor by tensor: the differences of
/// codes, scales and numbers in the units that they are stored in, up to three tensors to a block. A
/// step has at most `step_bytes`, a multiple of four.
std::vector<uint8_t> PackOfNumbers(std::span<const uint8_t> base, std::span<const uint8_t> result,
                                   size_t step_bytes = SIZE_MAX / 4 * 4);

}  // namespace graft::test
