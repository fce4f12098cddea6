// SPDX-License-Identifier: Apache-2.0
// PackedWeights: the weights of every linear op, laid out for this CPU. Immutable once made, shared
// by all sessions. They lie in memory of this process, or in a cache file that all processes share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/base/page_memory.h"
#include "runtime/model/pack_job.h"
#include "runtime/model/pack_layout.h"
#include "runtime/platform/cache_folder.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

class PackFileWriter;

enum class CacheState : int32_t {
  kOff,     ///< no folder was given, or nothing is to be packed
  kHit,     ///< mapped from a file of an earlier start
  kStored,  ///< packed into memory, and from there into a file for the next start
  kFailed   ///< packed into memory
};

class PackedWeights {
 public:
  /// Maps the packed weights from the cache, or packs them on `threads` threads.
  /// Errors   kUnsupported, kOutOfMemory, kCorrupt; each names the tensor. A cache that cannot be
  ///          used is none.
  static Result<std::unique_ptr<PackedWeights>> Load(const schema::VerifiedModel& model,
                                                     const DataSource& source, unsigned threads,
                                                     const CacheSettings& cache,
                                                     uint64_t limit_bytes);
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  /// The weights of op `op` of the graph, which must be a Linear or, of its first expert, an
  /// ExpertLinear.
  const LinearWeights& linear(uint32_t op) const { return entry(op).weights; }
  /// The same with what holds of all experts.
  const PackedEntry& entry(uint32_t op) const { return layout_.entries[layout_.entry_of_op[op]]; }
  uint64_t bytes() const { return layout_.bytes; }

  /// Lets go of the mapped pages of a cache file; they come back when they are read.
  void Trim() const;

  /// What became of the cache. kStored may turn into kFailed once.
  CacheState cache_state() const;
  /// Why a file was not found good, or could not be stored; empty if there is nothing to say.
  std::string cache_note() const;

 private:
  PackedWeights() = default;
  Status PackIntoMemory(const schema::VerifiedModel& model, const DataSource& source,
                        unsigned threads, ContentCheck check);
  Status LoadThroughCache(const schema::VerifiedModel& model, const DataSource& source,
                          unsigned threads, const CacheSettings& cache);
  void Note(const Status& status);
  void PointInto(const uint8_t* packed);

  PackLayout layout_;
  PageMemory memory_;
  std::unique_ptr<DataSource> file_;  // in place of memory_
  CacheState state_ = CacheState::kOff;
  std::string note_;
  std::unique_ptr<PackFileWriter> file_writer_;  // reads layout_ and memory_
};

}  // namespace graft::runtime
