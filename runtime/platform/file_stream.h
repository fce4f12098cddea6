// SPDX-License-Identifier: Apache-2.0
// Files that the runtime writes and reads back: whole or not there at all. platforms/ implements
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "schema/result.h"

namespace graft::runtime {

/// Bytes on their way into a file. Until Commit the file that was there stays as it is, and what
/// was written is removed with this object.
class FileWriter {
 public:
  virtual ~FileWriter() = default;
  /// Appends.
  /// Errors   kIo, naming the path.
  virtual Status Write(std::span<const uint8_t> bytes) = 0;
  /// Waits until the bytes are on the disk, then gives them the path's name.
  /// Errors   kIo.
  virtual Status Commit() = 0;
};

/// A file that is read, not mapped: one that shrinks meanwhile is an error instead of a signal.
class FileReader {
 public:
  virtual ~FileReader() = default;
  virtual uint64_t size() const = 0;  ///< when it was opened
  /// Fills `bytes` from `offset` on.
  /// Errors   kIo, also if the file ends before.
  virtual Status Read(uint64_t offset, std::span<uint8_t> bytes) = 0;
};

// ---- What a platform supplies

/// Errors   kNotFound: the folder is missing; kIo.
Result<std::unique_ptr<FileWriter>> CreateFileAt(const char* path);
/// Errors   kNotFound; kIo, also for what is not a plain file.
Result<std::unique_ptr<FileReader>> OpenFileAt(const char* path);

}  // namespace graft::runtime
