// SPDX-License-Identifier: Apache-2.0
// What this process takes of the machine's memory, and how fast the machine reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace graft_run {

/// In KiB; 0 where the system does not say.
struct MemoryUse {
  uint64_t peak_kib = 0;       ///< the most that was ever resident
  uint64_t anonymous_kib = 0;  ///< resident now and the process's own (RssAnon)
  uint64_t mapped_kib = 0;     ///< resident now and of files (RssFile)
};
MemoryUse ReadMemoryUse();

/// How fast `threads` threads read together from a buffer of several times the last cache, each
/// going through a part of its own from end to end.
class ReadBandwidth {
 public:
  explicit ReadBandwidth(unsigned threads);
  ~ReadBandwidth();
  ReadBandwidth(const ReadBandwidth&) = delete;
  ReadBandwidth& operator=(const ReadBandwidth&) = delete;

  /// Bytes a second over several passes, about as long as a few tokens take. What other programs
  /// leave changes from moment to moment: measure right before and after what it is compared with.
  /// 0 if there is no memory for the buffer.
  double Measure();

 private:
  struct Reader;
  static void* Touch(void* reader);
  static void* Read(void* reader);
  /// Runs `task` on all readers at once, the caller being one of them.
  void RunOnAll(void* (*task)(void*));

  size_t bytes_ = 0;
  uint64_t* words_ = nullptr;
  std::vector<Reader> readers_;
};

}  // namespace graft_run
