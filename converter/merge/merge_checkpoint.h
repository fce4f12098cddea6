// SPDX-License-Identifier: Apache-2.0
// MergeCheckpoint: writes base plus adapters as a checkpoint like the base, which transformers
// loads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "converter/merge/merged_source.h"

namespace graft::converter {

struct MergeRequest {
  std::filesystem::path base;  ///< As for Checkpoint::Open.
  std::vector<AdapterSpec> adapters;
  MergeRules rules;
  std::filesystem::path output;  ///< A folder that does not exist yet, or is empty.
  std::optional<DType> dtype;    ///< For floating-point tensors; without it each keeps its own.
  int threads = 0;               ///< 0: all.
  /// Called from any of the threads, one at a time, with bytes done and bytes in all.
  std::function<void(uint64_t done, uint64_t total)> progress;
};

/// Tensors, shards and their names stay those of the base; so do configuration, tokenizer and other
/// small files, except that what an adapter brings takes their place (see Companions), and
/// config.json is adjusted where the merge changes what it says (element type, tied embeddings,
/// vocabulary size, labels).
/// Each number is rounded once, from float64 to the stored type, to nearest even. The folder
/// appears whole or not at all. The report's tensors are those whose stored numbers are others than
/// the base's.
/// Errors   kInvalidArgument: the output is there already.
///          kIo: it cannot be written, disk full among the reasons. kCancelled.
///          kMismatch: the tokenizer of an adapter has more tokens than the merged embedding has
///          rows. Those of Checkpoint::Open and MergedSource::Open.
Result<MergeReport> MergeCheckpoint(const MergeRequest& request);

}  // namespace graft::converter
