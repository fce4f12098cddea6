// SPDX-License-Identifier: Apache-2.0
// Finds packed weights in a cache folder, or packs them into a file there. What goes wrong here is
// never a reason not to run: the weights can always be packed into memory.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>

#include "runtime/cache_folder.h"
#include "runtime/data_source.h"
#include "runtime/pack_file.h"
#include "runtime/pack_layout.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// The file of these weights, every byte of it checked on `threads` threads. Errors   kNotFound:
/// there is none; kCorrupt: it is not what it must be; those of OpenCacheFile.
Result<std::unique_ptr<DataSource>> FindPacked(const CacheSettings& settings, const PackFile& file,
                                               const PackLayout& layout, unsigned threads);

/// Packs into a new file, which is complete but has no name yet. Errors   those of CreateCacheFile
/// and PackSlices.
Result<std::unique_ptr<CacheWriter>> StorePacked(const CacheSettings& settings,
                                                 const PackFile& file,
                                                 const schema::VerifiedModel& model,
                                                 const DataSource& source, const PackLayout& layout,
                                                 unsigned threads);

/// Publishes a file without keeping its maker waiting for the disk.
class Publisher {
 public:
  enum class State : uint8_t { kWorking, kDone, kFailed };

  explicit Publisher(std::unique_ptr<CacheWriter> writer);
  /// Waits until it is done.
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;

  State state() const { return state_.load(std::memory_order_acquire); }
  /// Requires kFailed.
  const Status& failure() const { return failure_; }

 private:
  void Run();

  std::unique_ptr<CacheWriter> writer_;
  pthread_t thread_{};
  bool has_thread_ = false;
  Status failure_;
  std::atomic<State> state_{State::kWorking};
};

}  // namespace graft::runtime
