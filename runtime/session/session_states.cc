// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/session_states.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "runtime/kernels/recurrence.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

// Copies of large states are few: two of them find the end of the last prompt and a place near the
// end of the reply. Small ones cost nothing.
constexpr uint64_t kCopiesBytes = uint64_t{8} << 20;
constexpr uint64_t kFewestCopies = 2;
constexpr uint64_t kMostCopies = 32;
// Tokens after which there is a copy anyway: as many as take much longer to compute than the copy.
constexpr size_t kShortInterval = 32;
constexpr size_t kLongInterval = 128;
constexpr uint64_t kSmallStates = uint64_t{1} << 20;

}  // namespace

Result<StatesLayout> LayOutStates(const schema::fb::Graph& graph) {
  StatesLayout layout;
  if (graph.states() == nullptr || graph.states()->size() == 0) return layout;
  for (const schema::fb::State* state : *graph.states()) {
    layout.offsets.push_back(layout.bytes);
    // Rows are below 2^31, and so is the width: the product fits.
    const uint64_t bytes =
        uint64_t{state->rows()} * PaddedColumns(size_t{state->width()}) * sizeof(float);
    if (!CheckedAdd(layout.bytes, bytes, &layout.bytes) ||
        layout.bytes > std::numeric_limits<uint64_t>::max() / (2 * kMostCopies)) {
      return Error(StatusCode::kOutOfMemory, "the states do not fit the address space");
    }
  }
  layout.copies = std::clamp(kCopiesBytes / layout.bytes, kFewestCopies, kMostCopies);
  return layout;
}

Status SessionStates::Create(const StatesLayout& layout) {
  if (layout.bytes == 0) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(memory_, PageMemory::Allocate(layout.all_bytes(), "the states"));
  bytes_ = static_cast<size_t>(layout.bytes);
  slots_ = static_cast<size_t>(layout.copies);
  interval_ = layout.bytes <= kSmallStates ? kShortInterval : kLongInterval;
  copies_.reserve(slots_);
  for (const uint64_t offset : layout.offsets)
    views_.push_back(reinterpret_cast<float*>(memory_.data() + offset));
  return OkStatus();
}

void SessionStates::Finish(size_t position, bool wanted) {
  position_ = position;
  if (empty() || position == 0) return;
  const size_t last = copies_.empty() ? 0 : copies_.back().position;
  if (position - last >= (wanted ? size_t{1} : interval_)) Keep(position);
}

// A slot for a copy at `position`: a free one, or that of the copy whose neighbours are closest.
size_t SessionStates::FreeSlot(size_t position) {
  if (copies_.size() < slots_) {
    for (size_t slot = 0; slot < slots_; ++slot) {
      if (std::none_of(copies_.begin(), copies_.end(),
                       [slot](const Copy& copy) { return copy.slot == slot; }))
        return slot;
    }
  }
  size_t least = 0;
  size_t least_gap = SIZE_MAX;
  for (size_t i = 0; i < copies_.size(); ++i) {
    const size_t before = i == 0 ? 0 : copies_[i - 1].position;
    const size_t behind = i + 1 < copies_.size() ? copies_[i + 1].position : position;
    const size_t gap = behind - before;
    if (gap < least_gap) {
      least = i;
      least_gap = gap;
    }
  }
  const size_t slot = copies_[least].slot;
  copies_.erase(copies_.begin() + static_cast<ptrdiff_t>(least));
  return slot;
}

void SessionStates::Keep(size_t position) {
  const size_t slot = FreeSlot(position);
  std::memcpy(SlotData(slot), memory_.data(), bytes_);
  copies_.push_back({position, slot});
}

void SessionStates::KeepHere() {
  if (empty() || position_ == kNowhere || position_ == 0) return;
  if (copies_.empty() || copies_.back().position != position_) Keep(position_);
}

void SessionStates::GoBack(size_t position) {
  if (empty()) return;
  while (!copies_.empty() && copies_.back().position > position) copies_.pop_back();
  const size_t last = copies_.empty() ? 0 : copies_.back().position;
  if (position_ != kNowhere && position_ <= position && position_ >= last) return;
  if (copies_.empty()) {
    std::memset(memory_.data(), 0, bytes_);
  } else {
    std::memcpy(memory_.data(), SlotData(copies_.back().slot), bytes_);
  }
  position_ = last;
}

void SessionStates::Assign(size_t position) {
  copies_.clear();
  position_ = position;
  if (!empty() && position > 0) Keep(position);
}

void SessionStates::Trim() {
  copies_.clear();
  if (!empty()) memory_.Discard(bytes_, memory_.size() - bytes_);
}

}  // namespace graft::runtime
