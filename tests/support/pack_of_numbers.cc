// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "schema/generated/model_generated.h"
#include "tests/support/plain_pack.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;
using schema::PackUnit;

struct Piece {
  size_t begin = 0, end = 0;
  PackUnit unit = PackUnit::kBytes;
};

struct Block {
  PackUnit unit = PackUnit::kBytes;
  std::vector<uint8_t> differences;
  size_t steps = 0;
};

PackUnit UnitOf(fb::TensorFormat format, bool is_scales) {
  if (is_scales) return format == fb::TensorFormat::Int4Block ? PackUnit::kPairs : PackUnit::kQuads;
  switch (format) {
    case fb::TensorFormat::Int4Block:
    case fb::TensorFormat::Int4PerChannel:
      return PackUnit::kNibbles;
    case fb::TensorFormat::Float16:
    case fb::TensorFormat::BFloat16:
      return PackUnit::kPairs;
    case fb::TensorFormat::Int8PerChannel:
      return PackUnit::kBytes;
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      break;
  }
  return PackUnit::kQuads;
}

// The tensors of a file, and what lies between them.
std::vector<Piece> CutIntoTensors(const schema::VerifiedModel& model) {
  std::vector<Piece> tensors;
  for (const fb::Tensor* tensor : *model.model().tensors()) {
    const schema::TensorBytes bytes = model.tensor_bytes(*tensor);
    for (const bool is_scales : {false, true}) {
      const std::span<const uint8_t> part = is_scales ? bytes.scales : bytes.data;
      if (part.empty()) continue;
      const auto begin = static_cast<size_t>(part.data() - model.file_bytes().data());
      tensors.push_back({begin, begin + part.size(), UnitOf(tensor->format(), is_scales)});
    }
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  std::vector<Piece> pieces;
  size_t end = 0;
  const auto fill = [&](size_t until) {
    if (end < until) pieces.push_back({end, until, PackUnit::kBytes});
    end = std::max(end, until);
  };
  for (const Piece& tensor : tensors) {
    fill(tensor.begin);
    pieces.push_back(tensor);
    end = tensor.end;
  }
  fill(model.file_bytes().size());
  return pieces;
}

void PutDifferences(const Piece& piece, std::span<const uint8_t> base,
                    std::span<const uint8_t> result, std::vector<uint8_t>* out) {
  const size_t size = piece.unit == PackUnit::kNibbles ? 1 : schema::PlanesOf(piece.unit);
  for (size_t at = piece.begin; at < piece.end; at += size) {
    if (piece.unit == PackUnit::kNibbles) {
      const unsigned low = (result[at] & 15u) - (base[at] & 15u);
      const unsigned high = (result[at] >> 4) - (base[at] >> 4);
      out->push_back(static_cast<uint8_t>((low & 15) | (high & 15) << 4));
      continue;
    }
    uint32_t a = 0, b = 0;
    std::memcpy(&a, &result[at], size);
    std::memcpy(&b, &base[at], size);
    for (size_t i = 0; i < size; ++i) out->push_back(static_cast<uint8_t>((a - b) >> (8 * i)));
  }
}

// Sparse bytes in about as few bytes as an encoder takes: codes of one length, five bits of a gap.
std::vector<uint8_t> ShortSparse(std::span<const uint8_t> bytes) {
  constexpr uint32_t kGapBits = 5;
  bool occurs[256] = {};
  for (const uint8_t byte : bytes) occurs[byte] = byte != 0;
  size_t code_bits = 0;
  std::vector<uint8_t> values;
  for (const bool is_filler : {false, true}) {
    for (unsigned value = 1; value < 256; ++value) {
      if (occurs[value] == is_filler) continue;
      if (is_filler && values.size() == size_t{1} << code_bits) break;
      values.push_back(static_cast<uint8_t>(value));
    }
    while (size_t{1} << code_bits < values.size()) ++code_bits;
  }
  if (values.size() != size_t{1} << code_bits) return PlainSparse(bytes);  // zero has no code
  std::sort(values.begin(), values.end());
  std::array<std::vector<uint8_t>, 4> streams;
  std::array<size_t, 4> bits = {};
  size_t entries = 0;
  const auto put = [&](uint32_t number, size_t count) {
    const size_t stream = entries % 4;
    for (size_t i = 0; i < count; ++i) {
      if (bits[stream] % 8 == 0) streams[stream].push_back(0);
      streams[stream].back() |= static_cast<uint8_t>((number >> i & 1) << bits[stream]++ % 8);
    }
  };
  uint32_t gap = 0;
  for (const uint8_t byte : bytes) {
    if (byte == 0) {
      ++gap;
      continue;
    }
    for (; gap >> kGapBits >= 31; gap -= 31u << kGapBits, ++entries) put(1u << 31, 32);
    put(1u << (gap >> kGapBits), (gap >> kGapBits) + 1);
    put(gap, kGapBits);
    const auto code = static_cast<uint32_t>(std::lower_bound(values.begin(), values.end(), byte) -
                                            values.begin());
    for (size_t i = code_bits; i-- > 0;) put(code >> i, 1);
    ++entries;
    gap = 0;
  }
  std::vector<uint8_t> coded = {3};
  PutPlainNumber(entries, &coded);
  coded.push_back(kGapBits);
  coded.push_back(static_cast<uint8_t>(values.size() - 1));
  for (const uint8_t value : values) {
    coded.push_back(value);
    coded.push_back(static_cast<uint8_t>(code_bits));
  }
  for (size_t i = 0; i < 3; ++i) PutPlainNumber(streams[i].size(), &coded);
  for (const std::vector<uint8_t>& stream : streams)
    coded.insert(coded.end(), stream.begin(), stream.end());
  return coded;
}

std::vector<uint8_t> Code(const Block& block) {
  std::vector<uint8_t> coded;
  const size_t planes = schema::PlanesOf(block.unit);
  for (size_t plane = 0; plane < planes; ++plane) {
    std::vector<uint8_t> bytes;
    for (size_t i = plane; i < block.differences.size(); i += planes)
      bytes.push_back(block.differences[i]);
    const bool is_zero = std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
    const std::vector<uint8_t> of_plane = is_zero ? std::vector<uint8_t>{1, 0} : ShortSparse(bytes);
    PutPlainNumber(of_plane.size(), &coded);
    coded.insert(coded.end(), of_plane.begin(), of_plane.end());
  }
  return coded;
}

}  // namespace

std::vector<uint8_t> PackOfNumbers(std::span<const uint8_t> base, std::span<const uint8_t> result,
                                   size_t step_bytes) {
  constexpr size_t kStepsOfBlock = 3;
  const auto base_model = schema::Verify(base);
  const auto result_model = schema::Verify(result);
  const std::vector<Piece> pieces = CutIntoTensors(*result_model);
  const auto is_same = [&](const Piece& piece) {
    return std::equal(base.begin() + static_cast<ptrdiff_t>(piece.begin),
                      base.begin() + static_cast<ptrdiff_t>(piece.end),
                      result.begin() + static_cast<ptrdiff_t>(piece.begin));
  };
  std::vector<Block> blocks;
  std::vector<size_t> block_of(pieces.size());
  std::array<size_t, 5> open = {};  // by unit; one after the block
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (is_same(pieces[i])) continue;
    size_t& block = open[static_cast<size_t>(pieces[i].unit)];
    if (block == 0 || blocks[block - 1].steps == kStepsOfBlock) {
      blocks.push_back({pieces[i].unit, {}, 0});
      block = blocks.size();
    }
    ++blocks[block - 1].steps;
    block_of[i] = block - 1;
    PutDifferences(pieces[i], base, result, &blocks[block - 1].differences);
  }
  std::vector<uint8_t> coded, steps, index;
  size_t begun = 0, count = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool changes = !is_same(pieces[i]);
    for (size_t at = pieces[i].begin; at < pieces[i].end; ++count) {
      const bool begins = changes && block_of[i] == begun;
      const size_t bytes = std::min(step_bytes, pieces[i].end - at);
      at += bytes;
      steps.push_back(static_cast<uint8_t>((changes ? static_cast<unsigned>(pieces[i].unit) : 0) |
                                           (begins ? 16 : 0)));
      PutPlainNumber(bytes, &steps);
      PutPlainNumber(0, &steps);  // right after the step before
      if (!begins) continue;
      const std::vector<uint8_t> of_block = Code(blocks[begun++]);
      PutPlainNumber(of_block.size(), &steps);
      steps.resize(steps.size() + 8);
      coded.insert(coded.end(), of_block.begin(), of_block.end());
    }
  }
  PutPlainNumber(count, &index);
  index.insert(index.end(), steps.begin(), steps.end());
  schema::PackPreamble preamble;
  preamble.base_bytes = base.size();
  preamble.base_identity = base_model->identity();
  preamble.result_bytes = result.size();
  preamble.result_identity = result_model->identity();
  preamble.result_hash = schema::ContentHash(result, {});
  preamble.index_offset = schema::kPackPreambleBytes + coded.size();
  preamble.index_bytes = index.size();
  preamble.pack_bytes = preamble.index_offset + index.size();
  const auto head = schema::EncodePackPreamble(preamble);
  std::vector<uint8_t> pack(head.begin(), head.end());
  pack.insert(pack.end(), coded.begin(), coded.end());
  pack.insert(pack.end(), index.begin(), index.end());
  SealPack(pack);
  return pack;
}

}  // namespace graft::test
