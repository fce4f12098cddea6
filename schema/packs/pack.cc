// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/pack.h"

#include <cinttypes>
#include <cstring>

#include "schema/checked_math.h"
#include "schema/little_endian.h"
#include "schema/variable_length.h"

namespace graft::schema {
namespace {

// Bits of the byte that each step begins with.
constexpr uint8_t kUnitMask = 0x07;
constexpr uint8_t kOnZeros = 0x08;
constexpr uint8_t kBeginsBlock = 0x10;

void PutHash(uint8_t* out, const Hash128& hash) {
  PutU64(out, hash.high);
  PutU64(out + 8, hash.low);
}
Hash128 GetHash(const uint8_t* in) { return {GetU64(in), GetU64(in + 8)}; }

Result<PackPreamble> DecodePreamble(std::span<const uint8_t> bytes) {
  if (bytes.size() < kPackPreambleBytes) {
    return Error(StatusCode::kCorrupt,
                 "pack is %zu bytes, shorter than its %" PRIu64 "-byte preamble", bytes.size(),
                 kPackPreambleBytes);
  }
  if (std::memcmp(bytes.data(), kPackMagic.data(), kPackMagic.size()) != 0) {
    const bool is_model = std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
    return Error(StatusCode::kCorrupt, "not a pack: the first 8 bytes are not the magic number%s",
                 is_model ? " (it is a .graft file)" : "");
  }
  if (Checksum64(bytes.first(120)) != GetU64(&bytes[120])) {
    return Error(StatusCode::kCorrupt, "the pack's preamble does not have its checksum");
  }
  PackPreamble preamble;
  preamble.version = GetU32(&bytes[8]);
  if (preamble.version < kOldestPackVersion || preamble.version > kPackVersion) {
    return Error(StatusCode::kUnsupportedVersion,
                 "pack of version %" PRIu32 "; this build reads versions %" PRIu32 " to %" PRIu32,
                 preamble.version, kOldestPackVersion, kPackVersion);
  }
  preamble.pack_bytes = GetU64(&bytes[16]);
  preamble.base_bytes = GetU64(&bytes[24]);
  preamble.base_identity = GetHash(&bytes[32]);
  preamble.result_bytes = GetU64(&bytes[48]);
  preamble.result_identity = GetHash(&bytes[56]);
  preamble.result_hash = GetHash(&bytes[72]);
  preamble.index_offset = GetU64(&bytes[88]);
  preamble.index_bytes = GetU64(&bytes[96]);
  preamble.index_checksum = GetU64(&bytes[104]);
  if (GetU32(&bytes[12]) != kPackPreambleBytes || GetU64(&bytes[112]) != 0) {
    return Error(StatusCode::kCorrupt,
                 "the pack's preamble has bytes that version %" PRIu32 " does not allow",
                 preamble.version);
  }
  if (preamble.pack_bytes != bytes.size()) {
    return Error(StatusCode::kCorrupt, "pack is %zu bytes, its preamble says %" PRIu64,
                 bytes.size(), preamble.pack_bytes);
  }
  if (preamble.index_bytes > kMaxPackIndexBytes ||
      !RangeFits(preamble.index_offset, preamble.index_bytes, bytes.size()) ||
      preamble.index_offset + preamble.index_bytes != bytes.size()) {
    return Error(StatusCode::kCorrupt,
                 "the pack's index of %" PRIu64 " bytes at %" PRIu64
                 " is not its end, or larger than %" PRIu64,
                 preamble.index_bytes, preamble.index_offset, kMaxPackIndexBytes);
  }
  return preamble;
}

Status IndexError(size_t step, const char* what) {
  return Error(StatusCode::kCorrupt, "step %zu of the pack %s", step, what);
}

}  // namespace

std::array<uint8_t, kPackPreambleBytes> EncodePackPreamble(const PackPreamble& preamble) {
  std::array<uint8_t, kPackPreambleBytes> bytes{};
  std::memcpy(bytes.data(), kPackMagic.data(), kPackMagic.size());
  PutU32(&bytes[8], preamble.version);
  PutU32(&bytes[12], static_cast<uint32_t>(kPackPreambleBytes));
  PutU64(&bytes[16], preamble.pack_bytes);
  PutU64(&bytes[24], preamble.base_bytes);
  PutHash(&bytes[32], preamble.base_identity);
  PutU64(&bytes[48], preamble.result_bytes);
  PutHash(&bytes[56], preamble.result_identity);
  PutHash(&bytes[72], preamble.result_hash);
  PutU64(&bytes[88], preamble.index_offset);
  PutU64(&bytes[96], preamble.index_bytes);
  PutU64(&bytes[104], preamble.index_checksum);
  PutU64(&bytes[120], Checksum64(std::span(bytes).first(120)));
  return bytes;
}

Result<Pack> Pack::Open(std::span<const uint8_t> bytes, const VerifiedModel& base) {
  Pack pack(bytes);
  GRAFT_ASSIGN_OR_RETURN(pack.preamble_, DecodePreamble(bytes));
  const Hash128& wanted = pack.preamble_.base_identity;
  const Hash128 found = base.identity();
  if (!(wanted == found) || pack.preamble_.base_bytes != base.file_bytes().size()) {
    return Error(StatusCode::kMismatch,
                 "the pack is made for the base %016" PRIx64 "%016" PRIx64 " of %" PRIu64
                 " bytes; this one is %016" PRIx64 "%016" PRIx64 " of %zu bytes",
                 wanted.high, wanted.low, pack.preamble_.base_bytes, found.high, found.low,
                 base.file_bytes().size());
  }
  GRAFT_RETURN_IF_ERROR(pack.ReadIndex());
  return pack;
}

uint64_t MostResultBytes(uint64_t base_bytes) {
  uint64_t most = 0;
  if (!CheckedMultiply(base_bytes, kMaxGrowth, &most)) most = UINT64_MAX;
  return SaturatingAdd(most, kFreeGrowthBytes);
}

Status Pack::ReadIndex() {
  if (const uint64_t most = MostResultBytes(preamble_.base_bytes); preamble_.result_bytes > most) {
    return Error(StatusCode::kCorrupt,
                 "the pack makes %" PRIu64 " bytes, a base of %" PRIu64 " bytes allows %" PRIu64,
                 preamble_.result_bytes, preamble_.base_bytes, most);
  }
  std::span<const uint8_t> index = bytes_.subspan(preamble_.index_offset, preamble_.index_bytes);
  if (Checksum64(index) != preamble_.index_checksum) {
    return Error(StatusCode::kCorrupt, "the pack's index does not have its checksum");
  }
  uint64_t count = 0;
  // A step takes two bytes at least.
  if (!TakeNumber(&index, &count) || count > kMaxPackSteps || count > index.size() / 2) {
    return Error(StatusCode::kCorrupt,
                 "the pack's index says %" PRIu64 " steps, more than it has or %" PRIu64, count,
                 kMaxPackSteps);
  }
  steps_.reserve(static_cast<size_t>(count));
  for (uint64_t i = 0; i < count; ++i) {
    PackStep step;
    GRAFT_RETURN_IF_ERROR(TakeStep(&index, &step));
    steps_.push_back(step);
  }
  if (!index.empty()) return Error(StatusCode::kCorrupt, "the pack's index is longer than it says");
  return CheckTotals();
}

Status Pack::TakeStep(std::span<const uint8_t>* index, PackStep* step) {
  if (index->empty()) return IndexError(steps_.size(), "is missing");
  const uint8_t tag = index->front();
  *index = index->subspan(1);
  step->unit = static_cast<PackUnit>(tag & kUnitMask);
  if (tag >= 2 * kBeginsBlock || step->unit > PackUnit::kQuads) {
    return IndexError(steps_.size(), "is of a kind that this build does not know");
  }
  step->offset = result_end_;
  if (!TakeNumber(index, &step->bytes) || step->bytes == 0 ||
      !CheckedAdd(result_end_, step->bytes, &result_end_)) {
    return IndexError(steps_.size(), "has no size that fits");
  }
  if ((tag & kOnZeros) == 0) {
    int64_t jump = 0;
    if (!TakeSigned(index, &jump)) return IndexError(steps_.size(), "ends early");
    step->base_offset = base_end_ + static_cast<uint64_t>(jump);  // modulo 2^64, checked below
    if (!RangeFits(step->base_offset, step->bytes, preamble_.base_bytes)) {
      return IndexError(steps_.size(), "takes more of the base than there is");
    }
    base_end_ = step->base_offset + step->bytes;
  }
  const bool begins = (tag & kBeginsBlock) != 0;
  if (step->unit != PackUnit::kNone) return AddToBlock(begins, index, step);
  return begins ? IndexError(steps_.size(), "begins a block without differences") : OkStatus();
}

Status Pack::AddToBlock(bool begins, std::span<const uint8_t>* index, PackStep* step) {
  const size_t at = steps_.size();
  uint32_t& open = open_blocks_[static_cast<size_t>(step->unit)];
  if (begins) {
    PackBlock block;
    uint64_t coded = 0;
    // Coded bytes are never more than those they stand for and the most that goes around them.
    if (!TakeNumber(index, &coded) || coded > uint64_t{2} * kMaxBlockBytes ||
        index->size() < sizeof(uint64_t)) {
      return IndexError(at, "has a block of no size that fits");
    }
    block.coded_offset = coded_end_;
    block.coded_bytes = static_cast<uint32_t>(coded);
    block.checksum = GetU64(index->data());
    *index = index->subspan(sizeof(uint64_t));
    block.first_step = static_cast<uint32_t>(at);
    block.unit = step->unit;
    coded_end_ += coded;
    open = static_cast<uint32_t>(blocks_.size());
    blocks_.push_back(block);
  }
  if (open == kNoBlock) return IndexError(at, "is of a block that has not begun");
  PackBlock& block = blocks_[open];
  if (step->bytes % PlanesOf(step->unit) != 0 ||
      step->bytes > kMaxBlockBytes - block.result_bytes) {
    return IndexError(at, "does not fit its block");
  }
  step->block_offset = block.result_bytes;
  block.result_bytes += static_cast<uint32_t>(step->bytes);
  block.end_step = static_cast<uint32_t>(at + 1);
  step->block = open;
  return OkStatus();
}

Status Pack::CheckTotals() const {
  if (result_end_ != preamble_.result_bytes) {
    return Error(StatusCode::kCorrupt,
                 "the pack's steps make %" PRIu64 " bytes, its preamble says %" PRIu64, result_end_,
                 preamble_.result_bytes);
  }
  if (coded_end_ != preamble_.index_offset) {
    return Error(StatusCode::kCorrupt,
                 "the pack's blocks end at %" PRIu64 ", its index begins at %" PRIu64, coded_end_,
                 preamble_.index_offset);
  }
  return OkStatus();
}

}  // namespace graft::schema
