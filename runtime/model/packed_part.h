// SPDX-License-Identifier: Apache-2.0
// PackedPart: packed weights that are loaded together, from a file of the cache that all processes
// share, or packed into memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/pack_job.h"
#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_slot.h"
#include "runtime/model/slot_patch.h"
#include "runtime/platform/cache_folder.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

class PackFile;
class PackFileWriter;

enum class CacheState : int32_t {
  kOff,     ///< no folder was given, or nothing is to be packed
  kHit,     ///< mapped from a file of an earlier start
  kStored,  ///< packed into memory, and from there into a file for the next start
  kFailed   ///< packed into memory
};

/// Gives slots whose bytes may be overwritten.
class SlotLender {
 public:
  /// One whose bytes need only be patched to be those of `entry`, or null. *patch says how.
  virtual std::shared_ptr<PackedSlot> BorrowLike(const PackedEntry& entry, SlotPatch* patch) = 0;
  /// One of `bytes` bytes, or null.
  virtual std::shared_ptr<PackedSlot> Borrow(uint64_t bytes) = 0;

 protected:
  ~SlotLender() = default;
};

class PackedPart {
 public:
  /// Maps what `layout` lays out from the cache, or packs it on `threads` threads, into slots of
  /// `lender` (may be null) where it has some.
  /// Errors   kUnsupported, kOutOfMemory, kCorrupt; each names the tensor. A cache that cannot be
  ///          used is none.
  static Result<std::shared_ptr<PackedPart>> Load(const schema::VerifiedModel& model,
                                                  const DataSource& source, PackLayout layout,
                                                  unsigned threads, const CacheSettings& cache,
                                                  SlotLender* lender);
  ~PackedPart();
  PackedPart(const PackedPart&) = delete;
  PackedPart& operator=(const PackedPart&) = delete;

  /// Takes the slots of the layout's entries out of the part.
  std::vector<std::shared_ptr<PackedSlot>> TakeSlots() { return std::move(slots_); }

  /// Lets go of the mapped pages of a cache file; they come back when they are read.
  void Trim() const;
  /// Waits until nothing is on its way to the disk.
  void Settle() const;

  /// What became of the cache. kStored may turn into kFailed once.
  CacheState cache_state() const;
  /// Why a file was not found good, or could not be stored; empty if there is nothing to say.
  std::string cache_note() const;

 private:
  PackedPart() = default;
  Status PackIntoMemory(const schema::VerifiedModel& model, const DataSource& source,
                        unsigned threads, ContentCheck check, SlotLender* lender);
  Status LoadThroughCache(const schema::VerifiedModel& model, const DataSource& source,
                          unsigned threads, const CacheSettings& cache, SlotLender* lender);
  Status MakeRoom(ContentCheck check, SlotLender* lender);
  void Note(const Status& status);

  PackLayout layout_;
  std::vector<std::shared_ptr<PackedSlot>> slots_;
  std::vector<SlotPatch> patches_;  // of the slots
  std::shared_ptr<const DataSource> file_;
  CacheState state_ = CacheState::kOff;
  std::string note_;
  std::unique_ptr<PackFileWriter> file_writer_;  // reads layout_
};

}  // namespace graft::runtime
