// SPDX-License-Identifier: Apache-2.0
#include "converter/packs/plan_pack.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstring>
#include <span>

#include "converter/base/cancellation.h"
#include "converter/packs/pack_ranges.h"

namespace graft::converter {
namespace {

using schema::kNoBlock;
using schema::kZeros;
using schema::PackBlock;
using schema::PackStep;
using schema::PackUnit;

// A run of equal bytes of this length between differences is told as such.
constexpr uint64_t kRunBytes = 64;
// Where numbers change here and there, as in weights, runs are looked for in pieces of this size.
constexpr uint64_t kPieceBytes = schema::kMaxBlockBytes;
// Differences of this many bytes are a block of their own; fewer share one.
constexpr uint64_t kOwnBlockBytes = kPieceBytes / 4;

class Planner {
 public:
  Planner(const schema::VerifiedModel& base, const schema::VerifiedModel& result)
      : base_(base.file_bytes()), result_(result.file_bytes()) {}

  Status Add(const UnitRange& range) {
    const uint64_t piece =
        range.unit == PackUnit::kBytes && range.range.bytes < kPieceBytes ? kRunBytes : kPieceBytes;
    for (uint64_t at = 0; at < range.range.bytes; at += piece) {
      GRAFT_RETURN_IF_ERROR(CheckCancelled());
      AddPiece(range, at, std::min(piece, range.range.bytes - at));
    }
    Flush();
    return plan_.steps.size() <= schema::kMaxPackSteps
               ? OkStatus()
               : Error(StatusCode::kUnsupported, "the pack would have more than %" PRIu64 " steps",
                       schema::kMaxPackSteps);
  }

  Result<PackPlan> Finish() {
    const uint64_t most = schema::MostResultBytes(base_.size());
    if (result_.size() <= most) return std::move(plan_);
    return Error(StatusCode::kUnsupported,
                 "%zu bytes are more than a pack may make of a base of %zu: %" PRIu64,
                 result_.size(), base_.size(), most);
  }

 private:
  void AddPiece(const UnitRange& range, uint64_t at, uint64_t bytes) {
    PackStep step;
    step.offset = range.range.offset + at;
    step.bytes = bytes;
    step.unit = range.unit;
    const uint8_t* here = result_.data() + step.offset;
    if (range.range.base_offset == kZeros) {
      const bool is_zero = std::all_of(here, here + bytes, [](uint8_t byte) { return byte == 0; });
      if (is_zero) step.unit = PackUnit::kNone;
    } else {
      step.base_offset = range.range.base_offset + at;
      if (std::memcmp(here, base_.data() + step.base_offset, bytes) == 0) {
        step.unit = PackUnit::kNone;
      }
    }
    if (Joins(step)) {
      pending_.bytes += bytes;
    } else {
      Flush();
      pending_ = step;
    }
  }

  bool Joins(const PackStep& step) const {
    if (pending_.bytes == 0 || pending_.unit != step.unit) return false;
    if (step.unit != PackUnit::kNone && pending_.bytes + step.bytes > kPieceBytes) return false;
    if (step.base_offset == kZeros || pending_.base_offset == kZeros) {
      return step.base_offset == pending_.base_offset;
    }
    return pending_.base_offset + pending_.bytes == step.base_offset;
  }

  // Steps of the base as it is go on over ranges, so that what is the same all over is one.
  void Flush() {
    if (pending_.bytes == 0) return;
    if (pending_.unit == PackUnit::kNone) {
      if (!plan_.steps.empty()) {
        PackStep& last = plan_.steps.back();
        const bool continues = last.base_offset == kZeros
                                   ? pending_.base_offset == kZeros
                                   : last.base_offset + last.bytes == pending_.base_offset;
        if (last.unit == PackUnit::kNone && continues) {
          last.bytes += pending_.bytes;
          pending_ = {};
          return;
        }
      }
    } else {
      EnterBlock(&pending_);
    }
    plan_.steps.push_back(pending_);
    pending_ = {};
  }

  void EnterBlock(PackStep* step) {
    uint32_t& open = open_[static_cast<size_t>(step->unit)];
    const bool fits = open != kNoBlock && step->bytes < kOwnBlockBytes &&
                      plan_.blocks[open].result_bytes + step->bytes <= kPieceBytes;
    const auto at = static_cast<uint32_t>(plan_.steps.size());
    if (!fits) {
      open = static_cast<uint32_t>(plan_.blocks.size());
      PackBlock block;
      block.unit = step->unit;
      block.first_step = at;
      plan_.blocks.push_back(block);
    }
    PackBlock& block = plan_.blocks[open];
    block.result_bytes += static_cast<uint32_t>(step->bytes);
    block.end_step = at + 1;
    step->block = open;
  }

  std::span<const uint8_t> base_;
  std::span<const uint8_t> result_;
  PackPlan plan_;
  PackStep pending_;
  std::array<uint32_t, 5> open_ = {kNoBlock, kNoBlock, kNoBlock, kNoBlock, kNoBlock};
};

}  // namespace

Result<PackPlan> PlanPack(const schema::VerifiedModel& base, const schema::VerifiedModel& result) {
  Planner planner(base, result);
  for (const UnitRange& range : CutIntoRanges(base, result)) {
    GRAFT_RETURN_IF_ERROR(planner.Add(range));
  }
  return planner.Finish();
}

}  // namespace graft::converter
