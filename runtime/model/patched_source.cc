// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/patched_source.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <new>
#include <utility>

namespace graft::runtime {
namespace {

using schema::kNoBlock;
using schema::kZeros;
using schema::PackBlock;
using schema::PackStep;
using schema::PackUnit;

// Fewer bytes are not worth a mapping of their own, of which a process may have so many.
constexpr uint64_t kLeastShownBytes = uint64_t{64} << 10;
constexpr size_t kMostShown = 8192;
constexpr uint64_t kCopyBytes = schema::kMaxBlockBytes;
// Of a pack: enough to be on its way from a disk while blocks are decoded.
constexpr uint64_t kReadAheadBytes = uint64_t{4} << 20;
// Of a pack: read before they are given back.
constexpr uint64_t kReleasedBytes = uint64_t{1} << 20;

}  // namespace

PatchedSource::PatchedSource(std::shared_ptr<const DataSource> base,
                             std::unique_ptr<DataSource> pack, schema::Pack opened)
    : base_(std::move(base)), pack_source_(std::move(pack)), pack_(std::move(opened)) {}

Result<std::unique_ptr<DataSource>> PatchedSource::Open(std::shared_ptr<const DataSource> base,
                                                        std::unique_ptr<DataSource> pack,
                                                        const char* base_name,
                                                        const char* pack_name) {
  const Result<schema::VerifiedModel> model = schema::Verify(base->bytes());
  if (!model.ok()) return model.status().WithContext(base_name);
  Result<schema::Pack> opened = schema::Pack::Open(pack->bytes(), *model);
  if (!opened.ok()) return opened.status().WithContext(pack_name);
  std::unique_ptr<PatchedSource> source(new (std::nothrow) PatchedSource(
      std::move(base), std::move(pack), std::move(opened).value()));
  if (source == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a pack's record");
  Status status = source->LayOut();
  if (status.ok()) status = source->LoadHeader();
  if (!status.ok()) return status.WithContext(pack_name);
  return std::unique_ptr<DataSource>(std::move(source));
}

Status PatchedSource::LayOut() {
  const uint64_t size = pack_.preamble().result_bytes;
  GRAFT_ASSIGN_OR_RETURN(memory_, PageMemory::Allocate(size, "the file that a pack makes"));
  for (const PackBlock& block : pack_.blocks()) {
    const PackStep& first = pack_.steps()[block.first_step];
    const PackStep& last = pack_.steps()[block.end_step - 1];
    Unit unit{{first.offset, last.offset + last.bytes}, 0, static_cast<uint32_t>(units_.size())};
    unit.is_run = unit.range.end - unit.range.begin == block.result_bytes;
    units_.push_back(unit);
  }
  for (const PackStep& step : pack_.steps()) {
    if (step.block != kNoBlock) {
      pieces_.push_back({{step.offset, step.offset + step.bytes}, step.block});
    } else if (step.base_offset != kZeros) {
      ShowOrCopy(step);
    }  // memory is zeros
  }
  states_.reset(new std::atomic<uint8_t>[units_.size()]());
  return OkStatus();
}

void PatchedSource::ShowOrCopy(const PackStep& step) {
  const uint64_t page = PageBytes();
  const uint8_t* from = base_->bytes().data() + step.base_offset;
  const uint8_t* to = memory_.data() + step.offset;
  const uint64_t begin = (step.offset + page - 1) / page * page;
  const uint64_t end = (step.offset + step.bytes) / page * page;
  const bool is_aligned =
      (reinterpret_cast<uintptr_t>(from) - reinterpret_cast<uintptr_t>(to)) % page == 0;
  const bool is_shown =
      is_aligned && begin < end && end - begin >= kLeastShownBytes && shown_.size() < kMostShown &&
      base_->ShowAt(step.base_offset + (begin - step.offset), end - begin, memory_.data() + begin);
  if (!is_shown) return AddCopies(step.offset, step.base_offset, step.bytes);
  AddCopies(step.offset, step.base_offset, begin - step.offset);
  shown_.push_back({begin, end});
  AddCopies(end, step.base_offset + (end - step.offset), step.offset + step.bytes - end);
}

void PatchedSource::AddCopies(uint64_t offset, uint64_t base_offset, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += kCopyBytes) {
    const uint64_t size = std::min(kCopyBytes, bytes - done);
    const Range range{offset + done, offset + done + size};
    pieces_.push_back({range, static_cast<uint32_t>(units_.size())});
    units_.push_back({range, base_offset + done, kNoBlock});
  }
}

Status PatchedSource::LoadHeader() {
  GRAFT_RETURN_IF_ERROR(Keep(0, std::min<uint64_t>(bytes().size(), schema::kPreambleBytes)));
  GRAFT_ASSIGN_OR_RETURN(const schema::Preamble preamble,
                         schema::DecodePreamble(bytes(), bytes().size()));
  GRAFT_RETURN_IF_ERROR(Keep(preamble.header_offset, preamble.header_bytes));
  const std::span<const uint8_t> header =
      bytes().subspan(preamble.header_offset, preamble.header_bytes);
  if (schema::ContentHash(header, {}) == pack_.preamble().result_identity) return OkStatus();
  return Error(StatusCode::kCorrupt, "the pack makes another model than it says");
}

// A unit whose pieces follow one another is visited once: it may have as many as it has bytes.
template <typename Visit>
void PatchedSource::VisitUnits(uint64_t offset, uint64_t size, const Visit& visit) const {
  auto piece =
      std::upper_bound(pieces_.begin(), pieces_.end(), offset,
                       [](uint64_t at, const Piece& other) { return at < other.range.end; });
  uint32_t visited = kNoBlock;  // no unit
  for (; piece != pieces_.end() && piece->range.begin < offset + size; ++piece) {
    if (piece->unit == visited) continue;
    visited = piece->unit;
    if (!visit(visited)) return;
  }
}

Status PatchedSource::LoadAs(State state, uint64_t offset, uint64_t size) const {
  Status status;
  VisitUnits(offset, size, [&](uint32_t unit) {
    if (states_[unit].load(std::memory_order_acquire) < state) status = Make(unit, state);
    return status.ok();
  });
  return status;
}

Status PatchedSource::Load(uint64_t offset, uint64_t size) const {
  return LoadAs(kThere, offset, size);
}

Status PatchedSource::Keep(uint64_t offset, uint64_t size) const {
  return LoadAs(kKept, offset, size);
}

Status PatchedSource::Make(uint32_t index, State state) const {
  const std::lock_guard<std::mutex> lock(mutexes_[index % mutexes_.size()]);
  const uint8_t before = states_[index].load(std::memory_order_relaxed);
  if (before >= state) return OkStatus();
  const Unit& unit = units_[index];
  if (before == kAbsent) {
    if (unit.block != kNoBlock) {
      GRAFT_RETURN_IF_ERROR(MakeBlock(unit, memory_.data() + unit.range.begin));
      if (unit.is_run) ReleaseBase(unit.range.begin, unit.range.end - unit.range.begin);
    } else {
      const uint64_t size = unit.range.end - unit.range.begin;
      base_->WillRead(unit.base_offset, size);  // and not what a fault brings along
      std::memcpy(memory_.data() + unit.range.begin, base_->bytes().data() + unit.base_offset,
                  static_cast<size_t>(size));
      base_->Release(unit.base_offset, size);
    }
  }
  if (state == kKept) {
    kept_bytes_.fetch_add(unit.block == kNoBlock ? unit.range.end - unit.range.begin
                                                 : pack_.blocks()[unit.block].result_bytes,
                          std::memory_order_relaxed);
  }
  states_[index].store(state, std::memory_order_release);
  return OkStatus();
}

Status PatchedSource::MakeBlock(const Unit& unit, uint8_t* run) const {
  // Fresh memory for each block would be cleared by the system each time.
  std::unique_ptr<Workspace> workspace;
  {
    const std::lock_guard<std::mutex> lock(spare_mutex_);
    if (!spare_.empty()) {
      workspace = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  if (workspace == nullptr) workspace = std::make_unique<Workspace>();
  GRAFT_RETURN_IF_ERROR(MakeBlock(unit, run, workspace.get()));
  const std::lock_guard<std::mutex> lock(spare_mutex_);
  spare_.push_back(std::move(workspace));
  return OkStatus();
}

// `run` takes the bytes of a block that is one, whose bytes of the base the caller releases; others go
// to where they belong.
Status PatchedSource::MakeBlock(const Unit& unit, uint8_t* run, Workspace* workspace) const {
  const PackBlock& block = pack_.blocks()[unit.block];
  if (!unit.is_run) {
    workspace->scattered.resize(block.result_bytes);
    run = workspace->scattered.data();
  }
  WillReadFrom(block);
  GRAFT_RETURN_IF_ERROR(pack_.MakeBlock(unit.block, base_->bytes(), run, &workspace->decoding));
  ReleaseCoded(block);
  if (unit.is_run) return OkStatus();
  for (uint32_t i = block.first_step; i < block.end_step; ++i) {
    const PackStep& step = pack_.steps()[i];
    if (step.block != unit.block) continue;
    std::memcpy(memory_.data() + step.offset, run, static_cast<size_t>(step.bytes));
    run += step.bytes;
    if (step.base_offset != kZeros) base_->Release(step.base_offset, step.bytes);
  }
  return OkStatus();
}

// Each time that pages are given back, all threads are interrupted: so not for each block.
void PatchedSource::ReleaseCoded(const PackBlock& block) const {
  const uint64_t end = block.coded_offset + block.coded_bytes;
  const uint64_t begin = block.coded_offset / kReleasedBytes * kReleasedBytes;
  if (end / kReleasedBytes * kReleasedBytes > begin) pack_source_->Release(begin, end - begin);
}

// Pages that hold bytes for no longer than a matrix is packed would be cleared by the system before.
Result<const uint8_t*> PatchedSource::ReadOnce(uint64_t offset, uint64_t size,
                                               std::vector<uint8_t>* room) const {
  const auto is_made_here = [&](uint32_t index) {
    const Unit& unit = units_[index];
    return unit.block != kNoBlock && unit.is_run && unit.range.begin >= offset &&
           unit.range.end <= offset + size &&
           states_[index].load(std::memory_order_acquire) == kAbsent;
  };
  bool is_any_made_here = false;
  Status status;
  VisitUnits(offset, size, [&](uint32_t unit) {
    if (is_made_here(unit)) {
      is_any_made_here = true;
    } else if (states_[unit].load(std::memory_order_acquire) == kAbsent) {
      status = Make(unit, kThere);
    }
    return status.ok();
  });
  GRAFT_RETURN_IF_ERROR(status);
  const uint8_t* const there = memory_.data() + offset;
  if (!is_any_made_here) return there;
  room->resize(static_cast<size_t>(size));
  uint64_t end = offset;  // of what is in the room
  const auto copy_until = [&](uint64_t until) {
    if (until > end)
      std::memcpy(room->data() + (end - offset), there + (end - offset), until - end);
    end = std::max(end, until);
  };
  VisitUnits(offset, size, [&](uint32_t index) {
    if (!is_made_here(index)) return true;
    const Unit& unit = units_[index];
    copy_until(unit.range.begin);
    status = MakeBlock(unit, room->data() + (unit.range.begin - offset));
    end = unit.range.end;
    return status.ok();
  });
  GRAFT_RETURN_IF_ERROR(status);
  copy_until(offset + size);
  ReleaseBase(offset, size);
  return room->data();
}

PatchedSource::Step PatchedSource::StepAt(uint64_t offset) const {
  return std::upper_bound(
      pack_.steps().begin(), pack_.steps().end(), offset,
      [](uint64_t at, const PackStep& other) { return at < other.offset + other.bytes; });
}

ByteOrigin PatchedSource::OriginOf(uint64_t offset, uint64_t size) const {
  // The base's bytes as they are, one after another.
  const std::optional<uint64_t> base_offset = BaseOffsetOf(offset, size, PackUnit::kNone);
  return base_offset ? base_->OriginOf(*base_offset, size) : ByteOrigin{};
}

std::optional<uint64_t> PatchedSource::BaseOffsetOf(uint64_t offset, uint64_t size,
                                                    PackUnit unit) const {
  auto step = StepAt(offset);
  if (step == pack_.steps().end() || step->base_offset == kZeros) return std::nullopt;
  const uint64_t base_offset = step->base_offset + (offset - step->offset);
  for (; step != pack_.steps().end() && step->offset < offset + size; ++step) {
    if (step->base_offset == kZeros || step->base_offset + offset != base_offset + step->offset) {
      return std::nullopt;
    }
    if (step->block == kNoBlock) continue;
    const uint64_t unit_bytes = schema::PlanesOf(unit);
    if (step->unit != unit || (step->offset - offset) % unit_bytes != 0) return std::nullopt;
  }
  return base_offset;
}

uint64_t PatchedSource::CodedBytesOf(uint64_t offset, uint64_t size) const {
  uint64_t bytes = 0;
  for (auto step = StepAt(offset); step != pack_.steps().end() && step->offset < offset + size;
       ++step) {
    if (step->block == kNoBlock) continue;
    const PackBlock& block = pack_.blocks()[step->block];
    bytes += block.coded_bytes * step->bytes / block.result_bytes;
  }
  return bytes;
}

Result<PatchedSource::Changes> PatchedSource::ChangesOf(const PackStep& step,
                                                        schema::BlockChanges* changes) const {
  const PackBlock& block = pack_.blocks()[step.block];
  if (!changes->Has(pack_, step.block)) {
    WillReadFrom(block);
    GRAFT_RETURN_IF_ERROR(changes->Read(pack_, step.block));
    ReleaseCoded(block);
  }
  const size_t unit_bytes = schema::PlanesOf(block.unit);
  return Changes{step.offset, static_cast<uint32_t>(step.block_offset / unit_bytes),
                 static_cast<uint32_t>((step.block_offset + step.bytes) / unit_bytes),
                 changes->planes()};
}

// Pages of files come back by themselves, what is made here would not.
void PatchedSource::Release(uint64_t offset, uint64_t size) const {
  auto range = std::upper_bound(shown_.begin(), shown_.end(), offset,
                                [](uint64_t at, const Range& other) { return at < other.end; });
  for (; range != shown_.end() && range->begin < offset + size; ++range) {
    const uint64_t begin = std::max(range->begin, offset);
    const uint64_t end = std::min(range->end, offset + size);
    memory_.Discard(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }
}

void PatchedSource::Settle() const {
  announced_end_.store(0, std::memory_order_relaxed);
  const std::lock_guard<std::mutex> lock(spare_mutex_);
  spare_.clear();
  spare_.shrink_to_fit();
}

// Steps that follow one another in the base are visited together.
template <typename Visit>
void PatchedSource::VisitBase(uint64_t offset, uint64_t size, const Visit& visit) const {
  Range base{0, 0};
  for (auto step = StepAt(offset); step != pack_.steps().end() && step->offset < offset + size;
       ++step) {
    if (step->base_offset == kZeros) continue;
    const uint64_t begin = std::max(step->offset, offset);
    const uint64_t end = std::min(step->offset + step->bytes, offset + size);
    const uint64_t base_begin = step->base_offset + (begin - step->offset);
    if (base_begin != base.end) {
      if (base.begin < base.end) visit(base.begin, base.end - base.begin);
      base.begin = base_begin;
    }
    base.end = base_begin + (end - begin);
  }
  if (base.begin < base.end) visit(base.begin, base.end - base.begin);
}

void PatchedSource::ReleaseBase(uint64_t offset, uint64_t size) const {
  VisitBase(offset, size, [&](uint64_t from, uint64_t bytes) { base_->Release(from, bytes); });
}

void PatchedSource::WillRead(uint64_t offset, uint64_t size) const {
  VisitBase(offset, size, [&](uint64_t from, uint64_t bytes) { base_->WillRead(from, bytes); });
}

// What a matrix's slices need lies in the order in which they are packed. Half of what is on its way
// may be read before more is asked for.
void PatchedSource::WillReadFrom(const PackBlock& block) const {
  uint64_t announced = announced_end_.load(std::memory_order_relaxed);
  if (block.coded_offset + kReadAheadBytes / 2 < announced) return;
  const uint64_t begin = std::max(announced, block.coded_offset);
  const uint64_t end =
      std::min(block.coded_offset + kReadAheadBytes, pack_.preamble().index_offset);
  if (begin < end &&
      announced_end_.compare_exchange_strong(announced, end, std::memory_order_relaxed)) {
    pack_source_->WillRead(begin, end - begin);
  }
}

void PatchedSource::Drop(uint64_t offset, uint64_t size) const {
  Release(offset, size);
  VisitUnits(offset, size, [&](uint32_t index) {
    const Unit& unit = units_[index];
    // What is not dropped as a whole stays, as do single blocks that are scattered: small ones.
    if (!unit.is_run || unit.range.begin < offset || unit.range.end > offset + size) return true;
    const std::lock_guard<std::mutex> lock(mutexes_[index % mutexes_.size()]);
    if (states_[index].load(std::memory_order_relaxed) != kThere) return true;
    memory_.Discard(static_cast<size_t>(unit.range.begin),
                    static_cast<size_t>(unit.range.end - unit.range.begin));
    states_[index].store(kAbsent, std::memory_order_relaxed);
    return true;
  });
}

}  // namespace graft::runtime
