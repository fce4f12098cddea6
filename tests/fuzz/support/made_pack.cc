// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/support/made_pack.h"

#include <array>

#include "converter/packs/entropy_encoder.h"
#include "converter/packs/prefix_encoder.h"
#include "converter/packs/sparse_encoder.h"
#include "tests/support/sealed_pack.h"

namespace graft::fuzz {
namespace {

using schema::PackUnit;

std::vector<uint8_t> MakeBlock(PackUnit unit, size_t bytes, Input* input) {
  const uint8_t coder = input->Byte() % 4;
  if (coder == 3) {
    const auto any = input->Bytes(input->Byte());
    return {any.begin(), any.end()};
  }
  std::vector<uint8_t> block;
  for (size_t plane = 0; plane < schema::PlanesOf(unit); ++plane) {
    std::vector<uint8_t> differences(bytes / schema::PlanesOf(unit));
    size_t at = 0;
    for (size_t count = input->Byte(); count > 0 && !differences.empty(); --count) {
      at = (at + input->Byte()) % differences.size();
      differences[at] = input->Byte();
    }
    std::vector<uint8_t> coded;
    if (coder == 0) converter::EncodeSparse(differences, &coded);
    if (coder == 1) converter::EncodeHuffman(differences, &coded);
    if (coder == 2) converter::EncodeBytes(differences, &coded);
    converter::PutNumber(coded.size(), &block);
    block.insert(block.end(), coded.begin(), coded.end());
  }
  return block;
}

}  // namespace

std::vector<uint8_t> MakePack(const schema::VerifiedModel& base, std::span<const MadeStep> steps,
                              Input* input) {
  schema::PackPreamble preamble;
  preamble.base_bytes = base.file_bytes().size();
  preamble.base_identity = preamble.result_identity = base.identity();
  std::vector<uint8_t> blocks, index;
  converter::PutNumber(steps.size(), &index);
  uint64_t base_end = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const MadeStep& step = steps[i];
    const bool is_on_zeros = step.base_offset == schema::kZeros;
    preamble.result_bytes += step.bytes;
    index.push_back(static_cast<uint8_t>(static_cast<unsigned>(step.unit) |
                                         (is_on_zeros ? 8u : 0u) | (step.begins_block ? 16u : 0u)));
    converter::PutNumber(step.bytes, &index);
    if (!is_on_zeros) {
      converter::PutSigned(static_cast<int64_t>(step.base_offset - base_end), &index);
      base_end = step.base_offset + step.bytes;
    }
    if (!step.begins_block) continue;
    uint64_t bytes = step.bytes;
    for (size_t later = i + 1; later < steps.size(); ++later) {
      if (steps[later].unit != step.unit) continue;
      if (steps[later].begins_block) break;
      bytes += steps[later].bytes;
    }
    const std::vector<uint8_t> block = MakeBlock(step.unit, static_cast<size_t>(bytes), input);
    converter::PutNumber(block.size(), &index);
    index.resize(index.size() + sizeof(uint64_t));  // a checksum
    blocks.insert(blocks.end(), block.begin(), block.end());
  }
  preamble.index_offset = schema::kPackPreambleBytes + blocks.size();
  preamble.index_bytes = index.size();
  preamble.pack_bytes = preamble.index_offset + index.size();
  const auto head = schema::EncodePackPreamble(preamble);
  std::vector<uint8_t> pack(head.begin(), head.end());
  pack.insert(pack.end(), blocks.begin(), blocks.end());
  pack.insert(pack.end(), index.begin(), index.end());
  test::SealPack(pack);
  return pack;
}

}  // namespace graft::fuzz
