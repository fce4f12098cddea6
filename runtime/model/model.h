// SPDX-License-Identifier: Apache-2.0
// Model: a verified file and the weights packed from it. Immutable and shared by any number of
// sessions and threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/platform/cache_folder.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

class LookupTables;
class PackedWeights;

struct ModelOptions {
  unsigned threads = 0;             ///< while loading; 0: DefaultThreads()
  bool verify_contents = false;     ///< also check every segment's checksum
  CacheSettings cache = {};         ///< of packed weights
  uint64_t memory_limit_bytes = 0;  ///< of packed weights, and of each session; 0: none
  /// What else a verified model is asked before anything is packed: whether its ops are built in.
  Status (*check)(const schema::VerifiedModel& model) = nullptr;
};

/// Where the header ends in the file, and tensors may begin.
uint64_t HeaderEndOf(const schema::VerifiedModel& model);

/// Keeps what is read where it lies in the file: all but the matrices of linear ops, which are
/// read to be packed, unless another op reads them too.
/// Errors   those of DataSource::Keep.
Status KeepReadInPlace(const schema::VerifiedModel& model, const DataSource& source);

class Model {
 public:
  /// Verifies the source's bytes and packs the weights for this CPU, or maps them from the cache.
  /// Errors   those of schema::Verify; kOutOfMemory; kUnsupported when the CPU has no kernel for a
  ///          format.
  static Result<std::shared_ptr<const Model>> Open(std::shared_ptr<const DataSource> source,
                                                   const ModelOptions& options);
  /// The first half of Open: all but the weights, so that what else may fail comes before them.
  static Result<std::shared_ptr<Model>> Prepare(std::shared_ptr<const DataSource> source,
                                                const ModelOptions& options);
  /// The second half, once. If `replaced` is not null, no session computes with it: memory of its
  /// weights that nobody else holds is overwritten, and it has none any more. After a failure it
  /// has them as before, or its packed_weights().is_damaged() until they
  /// are repaired.
  /// Errors   as Open.
  Status LoadWeights(const Model* replaced);
  /// Packs weights anew that a LoadWeights in this one's place has left damaged. No session
  /// computes with it.
  /// Errors   kOutOfMemory, kCorrupt.
  Status Repair() const;
  ~Model();

  const schema::VerifiedModel& verified() const { return verified_; }
  const DataSource& source() const { return *source_; }
  /// The weights of linear ops in the layout this CPU's kernels read.
  const PackedWeights& packed_weights() const { return *packed_weights_; }

  /// The tables whose rows are read where they lie in the file.
  const LookupTables& lookup_tables() const { return *lookup_tables_; }

  /// Lets go of all pages of files that the model maps: they come back when they are read. Weights
  /// that were packed into memory stay. Any thread, also while sessions compute.
  void Trim() const;

  bool is_text_generation() const;
  bool takes_source() const;        ///< is an encoder-decoder
  uint32_t context_tokens() const;  ///< 0: unbounded
  uint32_t vocabulary() const;      ///< rows of the embedding of token ids; 0: not a token model
  std::span<const uint32_t> end_tokens() const;
  schema::Hash128 identity() const;  ///< equal for files of equal graph and weights
  unsigned threads() const { return threads_; }
  uint64_t memory_limit_bytes() const { return memory_limit_bytes_; }  ///< 0: none

 private:
  Model(std::shared_ptr<const DataSource> source, schema::VerifiedModel verified);

  std::shared_ptr<const DataSource> source_;
  schema::VerifiedModel verified_;
  std::unique_ptr<PackedWeights> packed_weights_;
  std::unique_ptr<LookupTables> lookup_tables_;
  unsigned threads_ = 1;
  CacheSettings cache_;
  uint64_t memory_limit_bytes_ = 0;
};

}  // namespace graft::runtime
