// SPDX-License-Identifier: Apache-2.0
// Makes the bytes of a pack's blocks.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "schema/packs/pack.h"
#include "schema/variable_length.h"

namespace graft::schema {
namespace {

template <typename Number>
void AddNumbers(std::span<const uint8_t> base, std::span<const uint8_t> differences, uint8_t* out) {
  for (size_t i = 0; i + sizeof(Number) <= differences.size(); i += sizeof(Number)) {
    Number a;
    Number b;
    std::memcpy(&a, base.data() + i, sizeof(Number));
    std::memcpy(&b, differences.data() + i, sizeof(Number));
    a = static_cast<Number>(a + b);
    std::memcpy(out + i, &a, sizeof(Number));
  }
}

uint8_t AddNibbles(unsigned a, unsigned b) {
  return static_cast<uint8_t>(((a & 0x77) + (b & 0x77)) ^ ((a ^ b) & 0x88));
}

// Eight bytes at a time: the upper bit of each nibble is added apart, so that nothing is carried
// into the next one.
void AddNibbles(std::span<const uint8_t> base, std::span<const uint8_t> differences, uint8_t* out) {
  constexpr uint64_t kUpperBits = 0x8888888888888888;
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= differences.size(); i += sizeof(uint64_t)) {
    uint64_t a;
    uint64_t b;
    std::memcpy(&a, base.data() + i, sizeof(a));
    std::memcpy(&b, differences.data() + i, sizeof(b));
    a = ((a & ~kUpperBits) + (b & ~kUpperBits)) ^ ((a ^ b) & kUpperBits);
    std::memcpy(out + i, &a, sizeof(a));
  }
  for (; i < differences.size(); ++i) out[i] = AddNibbles(base[i], differences[i]);
}

// out = base + differences, unit by unit. All are of one size.
void AddDifferences(PackUnit unit, std::span<const uint8_t> base,
                    std::span<const uint8_t> differences, uint8_t* out) {
  switch (unit) {
    case PackUnit::kNone:
      break;
    case PackUnit::kNibbles:
      return AddNibbles(base, differences, out);
    case PackUnit::kBytes:
      return AddNumbers<uint8_t>(base, differences, out);
    case PackUnit::kPairs:
      return AddNumbers<uint16_t>(base, differences, out);
    case PackUnit::kQuads:
      return AddNumbers<uint32_t>(base, differences, out);
  }
}

using SparseBytes = std::span<const SparseByte>;

template <typename Number>
void AddSparseNumbers(size_t plane, SparseBytes sparse, uint8_t* out) {
  for (const SparseByte byte : sparse) {
    uint8_t* const to = out + byte.place() * sizeof(Number);
    Number number;
    std::memcpy(&number, to, sizeof(number));
    number = static_cast<Number>(number + (uint32_t{byte.value()} << (8 * plane)));
    std::memcpy(to, &number, sizeof(number));
  }
}

// Adds the bytes of one plane to the numbers whose parts they are.
void AddSparse(PackUnit unit, size_t plane, SparseBytes sparse, uint8_t* out) {
  switch (unit) {
    case PackUnit::kNone:
      break;
    case PackUnit::kNibbles:
      for (const SparseByte byte : sparse) {
        uint8_t& to = out[byte.place()];
        to = AddNibbles(to, byte.value());
      }
      break;
    case PackUnit::kBytes:
      return AddSparseNumbers<uint8_t>(plane, sparse, out);
    case PackUnit::kPairs:
      return AddSparseNumbers<uint16_t>(plane, sparse, out);
    case PackUnit::kQuads:
      return AddSparseNumbers<uint32_t>(plane, sparse, out);
  }
}

// Whether so few bytes of a plane are not zero that it is faster to add these to what is there than
// to go over all.
bool IsThin(std::span<const uint8_t> plane, size_t units) {
  constexpr size_t kUnitsForOne = 8;
  return IsSparse(plane) && SparseEntriesOf(plane) < units / kUnitsForOne;
}

// The differences of the planes that are not thin, those of the others being zeros.
Status ReadThick(std::span<const std::span<const uint8_t>> planes, PackWorkspace* workspace) {
  std::vector<uint8_t>& differences = workspace->differences;
  const size_t units = differences.size() / planes.size();
  if (planes.size() == 1 && !IsSparse(planes[0]))
    return workspace->decoder.Decode(planes[0], differences);
  std::fill(differences.begin(), differences.end(), uint8_t{0});
  workspace->plane.resize(units);
  for (size_t plane = 0; plane < planes.size(); ++plane) {
    if (IsThin(planes[plane], units)) continue;
    uint8_t* to = differences.data() + plane;
    if (IsSparse(planes[plane])) {
      const auto stride_bits = static_cast<uint32_t>(std::countr_zero(planes.size()));
      GRAFT_RETURN_IF_ERROR(workspace->sparse.Scatter(planes[plane], units, to, stride_bits));
      continue;
    }
    GRAFT_RETURN_IF_ERROR(workspace->decoder.Decode(planes[plane], workspace->plane));
    for (const uint8_t byte : workspace->plane) {
      *to = byte;
      to += planes.size();
    }
  }
  return OkStatus();
}

}  // namespace

Status Pack::MakeBlock(size_t index, std::span<const uint8_t> base, uint8_t* out,
                       PackWorkspace* workspace) const {
  return InBlock(index, MakePlanes(index, base, out, workspace));
}

Status Pack::InBlock(size_t index, const Status& status) {
  if (status.ok()) return status;
  return Error(status.code(), "block %zu of the pack %.200s", index,
               std::string(status.message()).c_str());
}

Result<CodedPlanes> Pack::PlanesOfBlock(size_t index) const {
  const PackBlock& block = blocks_[index];
  std::span<const uint8_t> coded = bytes_.subspan(block.coded_offset, block.coded_bytes);
  if (Checksum64(coded) != block.checksum) {
    return Status(StatusCode::kCorrupt, "does not have its checksum");
  }
  CodedPlanes planes;
  for (size_t plane = 0; plane < PlanesOf(block.unit); ++plane) {
    GRAFT_ASSIGN_OR_RETURN(planes[plane], TakePlane(&coded));
  }
  if (!coded.empty()) return Status(StatusCode::kCorrupt, "is longer than it says");
  return planes;
}

// Planes are added one after another: a number's parts add up whatever their order. Most bytes of
// weights that an adapter changed a little are the base's, and are only copied.
Status Pack::MakePlanes(size_t index, std::span<const uint8_t> base, uint8_t* out,
                        PackWorkspace* workspace) const {
  const PackBlock& block = blocks_[index];
  const size_t planes = PlanesOf(block.unit);
  const size_t units = block.result_bytes / planes;
  GRAFT_ASSIGN_OR_RETURN(const CodedPlanes all_planes, PlanesOfBlock(index));
  const auto coded = std::span(all_planes).first(planes);
  const auto is_thin = [units](std::span<const uint8_t> plane) { return IsThin(plane, units); };
  if (std::all_of(coded.begin(), coded.end(), is_thin)) {
    AddToSteps(index, base, {}, out);
  } else {
    workspace->differences.resize(block.result_bytes);
    GRAFT_RETURN_IF_ERROR(ReadThick(coded, workspace));
    AddToSteps(index, base, workspace->differences, out);
  }
  for (size_t plane = 0; plane < planes; ++plane) {
    if (!is_thin(coded[plane])) continue;
    GRAFT_ASSIGN_OR_RETURN(const SparseBytes sparse, workspace->sparse.Decode(coded[plane], units));
    AddSparse(block.unit, plane, sparse, out);
  }
  return OkStatus();
}

Result<std::span<const uint8_t>> Pack::TakePlane(std::span<const uint8_t>* coded) const {
  uint64_t size = 0;
  if (!TakeNumber(coded, &size) || size > coded->size()) {
    return Status(StatusCode::kCorrupt, "ends early");
  }
  const std::span<const uint8_t> plane = coded->first(static_cast<size_t>(size));
  *coded = coded->subspan(plane.size());
  const auto mode = static_cast<CodedMode>(plane.empty() ? uint8_t{0} : plane.front());
  if ((preamble_.version < kFirstSparseVersion && mode == CodedMode::kSparse) ||
      (preamble_.version < kFirstHuffmanVersion && mode == CodedMode::kHuffman)) {
    return Status(StatusCode::kCorrupt, "is coded in a way that packs of its version are not");
  }
  return plane;
}

void Pack::AddToSteps(size_t index, std::span<const uint8_t> base,
                      std::span<const uint8_t> differences, uint8_t* out) const {
  const PackBlock& block = blocks_[index];
  for (uint32_t i = block.first_step; i < block.end_step; ++i) {
    const PackStep& step = steps_[i];
    if (step.block != index) continue;
    const auto size = static_cast<size_t>(step.bytes);
    const std::span<const uint8_t> from = BaseBytesOf(step, base);
    if (differences.empty()) {
      if (from.empty()) {
        std::memset(out, 0, size);
      } else {
        std::memcpy(out, from.data(), size);
      }
    } else {
      if (from.empty()) {
        std::memcpy(out, differences.data(), size);
      } else {
        AddDifferences(step.unit, from, differences.first(size), out);
      }
      differences = differences.subspan(size);
    }
    out += size;
  }
}

}  // namespace graft::schema
