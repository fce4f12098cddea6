// SPDX-License-Identifier: Apache-2.0
// Finds packed weights in a cache folder, or stores them in a file there. What goes wrong here is
// never a reason not to run: the weights can always be packed into memory.
#pragma once

#include <pthread.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/model/pack_file.h"
#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_slot.h"
#include "runtime/platform/cache_folder.h"
#include "runtime/platform/data_source.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::runtime {

/// The file of these weights, every byte of it checked on `threads` threads.
/// Errors   kNotFound: there is none;
///          kCorrupt: it is not what it must be; those of OpenCacheFile.
Result<std::unique_ptr<DataSource>> FindPacked(const CacheSettings& settings, const PackFile& file,
                                               const PackLayout& layout, unsigned threads);

/// Packed weights that are to be kept: where they lie in memory, and what their file is.
struct PackedBytes {
  PackFile file;
  const PackLayout* layout = nullptr;
  std::vector<std::shared_ptr<PackedSlot>> slots;  ///< of the layout's entries
};

/// Writes packed weights into a file and publishes it, on a thread of its own that gives way to all
/// others: the first token does not wait for the file.
class PackFileWriter {
 public:
  enum class State : uint8_t { kWorking, kDone, kFailed };

  /// What `packed` points to must outlive this.
  PackFileWriter(std::unique_ptr<CacheWriter> writer, PackedBytes packed);
  /// Waits until it is done.
  ~PackFileWriter();
  PackFileWriter(const PackFileWriter&) = delete;
  PackFileWriter& operator=(const PackFileWriter&) = delete;

  /// Until it is done.
  void Wait();

  State state() const { return state_.load(std::memory_order_acquire); }
  /// Requires kFailed.
  const Status& failure() const { return failure_; }

 private:
  void Run();
  Status Store();
  const uint8_t* RunOfSlots() const;
  Status WriteChunk(uint64_t begin, uint64_t end, size_t* entry, std::vector<uint8_t>* chunk);

  std::unique_ptr<CacheWriter> writer_;
  PackedBytes packed_;
  std::mutex waiting_;  // for thread_
  pthread_t thread_{};
  bool has_thread_ = false;
  Status failure_;
  std::atomic<State> state_{State::kWorking};
};

}  // namespace graft::runtime
