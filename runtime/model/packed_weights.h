// SPDX-License-Identifier: Apache-2.0
// PackedWeights: the weights of every linear op, laid out for this CPU, shared by all sessions. What
// other models of this process have packed of the same bytes is shared with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_part.h"
#include "runtime/platform/cache_folder.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// How weights are loaded.
struct LoadSettings {
  unsigned threads = 1;
  CacheSettings cache = {};
  uint64_t limit_bytes = 0;  ///< 0: none
};

class PackedWeights {
 public:
  /// Takes what other models hold, maps the rest from the cache, or packs it.
  /// Errors   kUnsupported, kOutOfMemory, kCorrupt; each names the tensor. A cache that cannot be
  ///          used is none.
  static Result<std::unique_ptr<PackedWeights>> Load(const schema::VerifiedModel& model,
                                                     const DataSource& source,
                                                     const LoadSettings& settings);
  /// The same in the place of this, which nobody computes with: what only this holds is
  /// overwritten. Afterwards this has no weights. After a failure it has those that it had, packed
  /// anew from `own_model` and `own_source`; where that fails too it is_damaged().
  Result<std::unique_ptr<PackedWeights>> Replace(const schema::VerifiedModel& own_model,
                                                 const DataSource& own_source,
                                                 const schema::VerifiedModel& model,
                                                 const DataSource& source,
                                                 const LoadSettings& settings);
  bool is_damaged() const { return !overwritten_.empty(); }
  /// Packs again what was overwritten.
  /// Errors   kOutOfMemory, kCorrupt.
  Status Repair(const schema::VerifiedModel& model, const DataSource& source,
                const LoadSettings& settings);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  /// The weights of op `op` of the graph, which must have some: see WeightOf. Of an ExpertLinear they
  /// are those of its first expert.
  const LinearWeights& linear(uint32_t op) const { return entry(op).weights; }
  /// The same with what holds of all experts.
  const PackedEntry& entry(uint32_t op) const { return layout_.entries[layout_.entry_of_op[op]]; }
  uint64_t bytes() const { return layout_.bytes; }
  /// Of these, what other models held already when they were loaded.
  uint64_t shared_bytes() const { return shared_bytes_; }

  /// Lets go of the mapped pages of a cache file; they come back when they are read.
  void Trim() const { part_->Trim(); }

  /// What became of the cache. kStored may turn into kFailed once.
  CacheState cache_state() const;
  /// Why a file was not found good, or could not be stored; empty if there is nothing to say.
  std::string cache_note() const { return part_->cache_note(); }

 private:
  PackedWeights() = default;
  static Result<std::unique_ptr<PackedWeights>> LoadInto(const schema::VerifiedModel& model,
                                                         const DataSource& source,
                                                         const LoadSettings& settings,
                                                         SlotLender* lender);

  PackLayout layout_;
  std::vector<std::shared_ptr<PackedSlot>> slots_;  // of the layout's entries
  std::shared_ptr<PackedPart> part_;                // where what was not shared is from
  uint64_t shared_bytes_ = 0;
  bool is_all_shared_ = false;
  bool has_cache_ = false;
  std::vector<uint32_t> overwritten_;  // entries that Replace began with, ascending
};

}  // namespace graft::runtime
