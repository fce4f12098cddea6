// SPDX-License-Identifier: Apache-2.0
// PatchedSource: the file that a pack makes of its base, as a source of bytes. What the two files
// have in common is shown where the base is mapped, whole pages of it; the rest is made in memory
// of our own when it is loaded, and given back when it is dropped.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "runtime/base/page_memory.h"
#include "runtime/platform/data_source.h"
#include "schema/packs/block_changes.h"
#include "schema/packs/pack.h"
#include "schema/result.h"

namespace graft::runtime {

class PatchedSource final : public DataSource {
 public:
  /// The header is loaded and kept. `base_name` and `pack_name` are put before messages.
  /// Errors   those of schema::Verify on the base and of schema::Pack::Open;
  ///          kCorrupt: the header that comes out is not the one that the pack promises;
  ///          kOutOfMemory.
  static Result<std::unique_ptr<DataSource>> Open(std::shared_ptr<const DataSource> base,
                                                  std::unique_ptr<DataSource> pack,
                                                  const char* base_name, const char* pack_name);

  std::span<const uint8_t> bytes() const override { return {memory_.data(), memory_.size()}; }
  void Release(uint64_t offset, uint64_t size) const override;
  void WillRead(uint64_t offset, uint64_t size) const override;
  Status Load(uint64_t offset, uint64_t size) const override;
  Result<const uint8_t*> ReadOnce(uint64_t offset, uint64_t size,
                                  std::vector<uint8_t>* room) const override;
  Status Keep(uint64_t offset, uint64_t size) const override;
  void Drop(uint64_t offset, uint64_t size) const override;
  void Settle() const override;
  ByteOrigin OriginOf(uint64_t offset, uint64_t size) const override;
  const PatchedSource* patched() const override { return this; }
  uint64_t own_bytes() const override {
    return kept_bytes_.load(std::memory_order_relaxed) + base_->own_bytes() +
           pack_source_->own_bytes();
  }

  const DataSource& base() const { return *base_; }
  /// Where in the base [offset, offset + size) is from: one run of its bytes, with differences that
  /// are counted in units of `unit` from `offset` on, or with none. Not known of other bytes.
  std::optional<uint64_t> BaseOffsetOf(uint64_t offset, uint64_t size, schema::PackUnit unit) const;
  /// About how many bytes the differences of [offset, offset + size) are coded in.
  uint64_t CodedBytesOf(uint64_t offset, uint64_t size) const;

  /// What the pack adds to a run of units, as one of its blocks has it.
  struct Changes {
    uint64_t offset = 0;                      ///< in the result: of the first unit of the run
    uint32_t first_place = 0, end_place = 0;  ///< of the run in the block
    std::span<const std::span<const schema::SparseByte>> planes;
  };
  /// Calls visit(const Changes&) for all runs of units that overlap [offset, offset + size), as a
  /// whole. `changes` keeps the last block. Any thread, each with changes of its own.
  /// Requires BaseOffsetOf.
  /// Errors   kCorrupt: a block is not what it must be.
  template <typename Visit>
  Status VisitChanges(uint64_t offset, uint64_t size, schema::BlockChanges* changes,
                      const Visit& visit) const {
    for (auto step = StepAt(offset); step != pack_.steps().end() && step->offset < offset + size;
         ++step) {
      if (step->block == schema::kNoBlock) continue;
      GRAFT_ASSIGN_OR_RETURN(const Changes found, ChangesOf(*step, changes));
      visit(found);
    }
    return OkStatus();
  }

 private:
  using Step = std::span<const schema::PackStep>::iterator;
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  /// What is made at once: a block of the pack, or a copy of some of the base's bytes.
  struct Unit {
    Range range;           // of the result: from its first byte to its last
    uint64_t base_offset;  // of a copy
    uint32_t block;        // or kNoBlock
    bool is_run = true;    // nothing of others lies in the range
  };
  /// Bytes of the result that a unit makes.
  struct Piece {
    Range range;
    uint32_t unit;
  };
  /// What making a block takes beside the result.
  struct Workspace {
    schema::PackWorkspace decoding;
    std::vector<uint8_t> scattered;  // the bytes of a block that is no run
  };
  enum State : uint8_t { kAbsent = 0, kThere = 1, kKept = 2 };

  PatchedSource(std::shared_ptr<const DataSource> base, std::unique_ptr<DataSource> pack,
                schema::Pack opened);
  /// The first step that ends behind `offset`.
  Step StepAt(uint64_t offset) const;
  Result<Changes> ChangesOf(const schema::PackStep& step, schema::BlockChanges* changes) const;
  Status LayOut();
  void ShowOrCopy(const schema::PackStep& step);
  void AddCopies(uint64_t offset, uint64_t base_offset, uint64_t bytes);
  Status LoadHeader();
  Status LoadAs(State state, uint64_t offset, uint64_t size) const;
  Status Make(uint32_t unit, State state) const;
  Status MakeBlock(const Unit& unit, uint8_t* run) const;
  Status MakeBlock(const Unit& unit, uint8_t* run, Workspace* workspace) const;
  void ReleaseCoded(const schema::PackBlock& block) const;
  void ReleaseBase(uint64_t offset, uint64_t size) const;
  /// Says that the block is about to be read, and those behind it.
  void WillReadFrom(const schema::PackBlock& block) const;
  template <typename Visit>
  void VisitUnits(uint64_t offset, uint64_t size, const Visit& visit) const;
  template <typename Visit>
  void VisitBase(uint64_t offset, uint64_t size, const Visit& visit) const;

  std::shared_ptr<const DataSource> base_;
  std::unique_ptr<DataSource> pack_source_;
  schema::Pack pack_;
  PageMemory memory_;
  std::vector<Range> shown_;  // of the result, where the base's pages are; ascending
  std::vector<Unit> units_;
  std::vector<Piece> pieces_;                       // ascending, apart from each other
  std::unique_ptr<std::atomic<uint8_t>[]> states_;  // of units
  mutable std::mutex spare_mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> spare_;  // of threads that loaded
  mutable std::array<std::mutex, 16> mutexes_;             // of units, by their numbers
  mutable std::atomic<uint64_t> kept_bytes_{0};
  mutable std::atomic<uint64_t> announced_end_{0};  // of the pack's bytes that will be read
};

}  // namespace graft::runtime
