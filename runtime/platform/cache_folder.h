// SPDX-License-Identifier: Apache-2.0
// A folder of files that are each written once, then only read or removed: where packed weights
// wait for the next start. platforms/ implements it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "runtime/platform/data_source.h"
#include "schema/result.h"

namespace graft::runtime {

inline constexpr uint64_t kDefaultCacheBytes = uint64_t{8} << 30;

struct CacheSettings {
  std::string folder;                         ///< made if it is missing; empty: no cache
  uint64_t limit_bytes = kDefaultCacheBytes;  ///< of all files in it together
};

/// A file that does not have its name yet, with room reserved for all its bytes. What is not
/// published is removed with this object, or, if the process dies, by a later CreateCacheFile.
class CacheWriter {
 public:
  virtual ~CacheWriter() = default;
  /// Any number of threads may write, to ranges that do not overlap.
  /// Errors   kIo.
  virtual Status Write(uint64_t offset, std::span<const uint8_t> bytes) = 0;
  /// Waits until the bytes are on the disk, then gives the file its name, in place of an older one.
  virtual Status Publish() = 0;
};

// ---- What a platform supplies

/// Maps the file `name` of the folder and notes that it was used.
/// Errors   kNotFound: there is none; kIo;
///          kMismatch: it is not a plain file of this user's or of the system's.
Result<std::unique_ptr<DataSource>> OpenCacheFile(const CacheSettings& settings,
                                                  const std::string& name);
/// Makes room for `bytes` bytes: removes what writers that died have left, then the files used
/// longest ago until the limit holds. Names must end in kCacheSuffix.
/// Errors   kUnsupported: the file alone exceeds the limit;
///          kIo: the folder cannot be written to, or the disk is full.
Result<std::unique_ptr<CacheWriter>> CreateCacheFile(const CacheSettings& settings,
                                                     const std::string& name, uint64_t bytes);

/// How the names of a folder's files end. No other file is ever counted or removed.
inline constexpr char kCacheSuffix[] = ".graftcache";

}  // namespace graft::runtime
