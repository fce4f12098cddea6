// SPDX-License-Identifier: Apache-2.0
// Small models opened through a cache of packed weights, in a folder that goes with the test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/model/packed_weights.h"
#include "runtime/platform/cache_folder.h"
#include "tests/support/graph_maker.h"

namespace graft::test {

/// An empty folder, removed at the end.
class CacheFolder {
 public:
  CacheFolder();
  ~CacheFolder();
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;

  const std::string& path() const { return path_; }
  runtime::CacheSettings settings(uint64_t limit_bytes = runtime::kDefaultCacheBytes) const {
    return {path_, limit_bytes};
  }
  std::vector<std::string> Files() const;  ///< names, sorted

 private:
  std::string path_;
};

std::shared_ptr<const runtime::Model> OpenBytes(const AlignedBytes& file,
                                                const runtime::CacheSettings& cache,
                                                unsigned threads = 2);

inline runtime::CacheState StateOf(const std::shared_ptr<const runtime::Model>& model) {
  return model->packed_weights().cache_state();
}

enum class Change : uint8_t { kNone, kScale, kBias, kNoBias };

/// One linear op with a bias, int8 per channel.
class LinearModel {
 public:
  explicit LinearModel(uint32_t seed, Change change = Change::kNone, size_t out_features = 40,
                       size_t in_features = 72);

  const AlignedBytes& file() const { return file_; }
  std::shared_ptr<const runtime::Model> Open(const runtime::CacheSettings& cache = {}) const {
    return OpenBytes(file_, cache);
  }
  /// What the model computes of some input.
  std::vector<float> Run(const std::shared_ptr<const runtime::Model>& model) const;

 private:
  size_t in_features_;
  AlignedBytes file_;
};

}  // namespace graft::test
