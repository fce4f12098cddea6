// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/packed_weights.h"

#include <algorithm>
#include <cinttypes>
#include <map>
#include <new>
#include <optional>
#include <utility>

#include "runtime/model/pack_job.h"
#include "runtime/model/shared_slots.h"
#include "runtime/xnn/linear_operator.h"

namespace graft::runtime {
namespace {

/// Slots in memory that nobody else holds.
class Overwritable final : public SlotLender {
 public:
  /// What `slots` hold of `held`, as `layout` lays it out, for what `wanted` needs.
  Overwritable(const ModelBytes& held, const PackLayout& layout,
               const std::vector<std::shared_ptr<PackedSlot>>& slots, const ModelBytes& wanted)
      : held_(held), layout_(layout), slots_(slots), wanted_(wanted), is_taken_(slots.size()) {
    lent_.reserve(slots.size());  // what was lent must be known, whatever fails
    for (uint32_t i = 0; i < slots.size(); ++i) {
      if (!slots[i]->is_memory()) continue;
      by_size_.emplace(slots[i]->bytes(), i);
      const std::optional<uint64_t> in_base = SlotPatch::BaseOffsetOf(held, layout.entries[i]);
      if (in_base) by_base_.emplace(*in_base, i);
    }
  }

  std::shared_ptr<PackedSlot> BorrowLike(const PackedEntry& entry, SlotPatch* patch) override {
    const std::optional<uint64_t> in_base = SlotPatch::BaseOffsetOf(wanted_, entry);
    if (!in_base) return nullptr;
    for (auto found = by_base_.find(*in_base); found != by_base_.end();
         found = by_base_.find(*in_base)) {
      const uint32_t index = found->second;
      by_base_.erase(found);
      *patch = SlotPatch::Find(held_, layout_.entries[index], wanted_, entry);
      if (*patch && Take(index)) return slots_[index];
    }
    *patch = {};
    return nullptr;
  }

  std::shared_ptr<PackedSlot> Borrow(uint64_t bytes) override {
    for (auto found = by_size_.find(bytes); found != by_size_.end(); found = by_size_.find(bytes)) {
      const uint32_t index = found->second;
      by_size_.erase(found);
      if (Take(index)) return slots_[index];
    }
    return nullptr;
  }

  /// Indices of those that were lent, ascending.
  std::vector<uint32_t> TakeLent() {
    std::sort(lent_.begin(), lent_.end());
    return std::move(lent_);
  }

 private:
  bool Take(uint32_t index) {
    if (is_taken_[index]) return false;
    is_taken_[index] = true;
    if (!TakeBack(slots_[index])) return false;
    lent_.push_back(index);
    return true;
  }

  const ModelBytes held_;
  const PackLayout& layout_;
  const std::vector<std::shared_ptr<PackedSlot>>& slots_;
  const ModelBytes wanted_;
  std::vector<bool> is_taken_;
  std::multimap<uint64_t, uint32_t> by_size_;
  std::multimap<uint64_t, uint32_t> by_base_;  // where in the base their codes are from
  std::vector<uint32_t> lent_;
};

/// What `work` gives, also if an allocation fails on the way.
template <typename Work>
auto OrOutOfMemory(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "out of memory");
  }
}

}  // namespace

PackedWeights::~PackedWeights() = default;

Result<std::unique_ptr<PackedWeights>> PackedWeights::LoadInto(const schema::VerifiedModel& model,
                                                               const DataSource& source,
                                                               const LoadSettings& settings,
                                                               SlotLender* lender) {
  GRAFT_RETURN_IF_ERROR(InitializeKernels());
  std::unique_ptr<PackedWeights> packed(new (std::nothrow) PackedWeights);
  if (!packed) return Error(StatusCode::kOutOfMemory, "cannot allocate packed weights");
  PackLayout& layout = packed->layout_;
  GRAFT_ASSIGN_OR_RETURN(layout, LayOutWeights(model));
  if (settings.limit_bytes != 0 && layout.bytes > settings.limit_bytes) {
    return Error(StatusCode::kOutOfMemory,
                 "the packed weights take %" PRIu64 " bytes, the memory limit is %" PRIu64,
                 layout.bytes, settings.limit_bytes);
  }
  std::vector<SlotKey> keys;
  keys.reserve(layout.entries.size());
  for (const PackedEntry& entry : layout.entries) {
    keys.push_back(KeyOf(model, source, entry, settings.cache.folder));
  }
  packed->slots_ = FindSlots(keys);
  std::vector<uint32_t> missing;
  for (uint32_t i = 0; i < layout.entries.size(); ++i) {
    if (packed->slots_[i] == nullptr) {
      missing.push_back(i);
    } else {
      packed->shared_bytes_ += layout.entries[i].bytes();
    }
  }
  packed->has_cache_ = !settings.cache.folder.empty() && !layout.entries.empty();
  packed->is_all_shared_ = missing.empty();
  GRAFT_ASSIGN_OR_RETURN(packed->part_, PackedPart::Load(model, source, PartOf(layout, missing),
                                                         settings.threads, settings.cache, lender));
  std::vector<std::shared_ptr<PackedSlot>> loaded = packed->part_->TakeSlots();
  for (size_t i = 0; i < missing.size(); ++i) packed->slots_[missing[i]] = std::move(loaded[i]);
  for (size_t i = 0; i < layout.entries.size(); ++i) {
    layout.entries[i].weights.packed = packed->slots_[i]->data();
  }
  ShareSlots(keys, packed->slots_);
  return packed;
}

Result<std::unique_ptr<PackedWeights>> PackedWeights::Load(const schema::VerifiedModel& model,
                                                           const DataSource& source,
                                                           const LoadSettings& settings) {
  return LoadInto(model, source, settings, nullptr);
}

Result<std::unique_ptr<PackedWeights>> PackedWeights::Replace(
    const schema::VerifiedModel& own_model, const DataSource& own_source,
    const schema::VerifiedModel& model, const DataSource& source, const LoadSettings& settings) {
  GRAFT_RETURN_IF_ERROR(Repair(own_model, own_source, settings));
  part_->Settle();
  Trim();
  Overwritable lender({&own_model, &own_source}, layout_, slots_, {&model, &source});
  Result<std::unique_ptr<PackedWeights>> packed =
      OrOutOfMemory([&] { return LoadInto(model, source, settings, &lender); });
  if (packed.ok()) {
    slots_.clear();
    return packed;
  }
  overwritten_ = lender.TakeLent();
  // A failure here is told by whoever needs the weights.
  static_cast<void>(OrOutOfMemory([&]() -> Result<bool> {
    GRAFT_RETURN_IF_ERROR(Repair(own_model, own_source, settings));
    return true;
  }));
  return packed;
}

Status PackedWeights::Repair(const schema::VerifiedModel& model, const DataSource& source,
                             const LoadSettings& settings) {
  if (overwritten_.empty()) return OkStatus();
  std::vector<std::shared_ptr<PackedSlot>> slots;
  std::vector<SlotKey> keys;
  for (const uint32_t index : overwritten_) {
    slots.push_back(slots_[index]);
    keys.push_back(KeyOf(model, source, layout_.entries[index], settings.cache.folder));
  }
  GRAFT_RETURN_IF_ERROR(PackSlices(model, source, PartOf(layout_, overwritten_), settings.threads,
                                   ContentCheck::kNone, slots));
  overwritten_.clear();
  ShareSlots(keys, slots);
  return OkStatus();
}

CacheState PackedWeights::cache_state() const {
  // All of it is another model's: that is as good as a file.
  return is_all_shared_ && has_cache_ ? CacheState::kHit : part_->cache_state();
}

}  // namespace graft::runtime
