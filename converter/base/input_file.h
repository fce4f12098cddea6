// SPDX-License-Identifier: Apache-2.0
// InputFile: a file read at offsets, every read checked against its size, so that a file that
// shrinks is an error and not a signal.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "schema/container.h"
#include "schema/result.h"

namespace graft::converter {

/// Immutable after Open; safe to read from several threads. Reads go through pread into the
/// caller's buffer: memory stays what the caller holds, however large the file, and the page cache
/// serves what is read twice.
class InputFile {
 public:
  /// A file that is the text of a link into the hub's cache, as some copies of it have, is followed.
  /// Errors   kNotFound;
  ///          kIo: not readable, not a regular file.
  static Result<std::unique_ptr<InputFile>> Open(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// As given to Open, for messages.
  const std::string& path() const { return path_; }
  uint64_t size_bytes() const { return size_bytes_; }
  int descriptor() const { return descriptor_; }

  /// Fills `out` from `offset` on.
  /// Errors   kOutOfRange: beyond the size at Open.
  ///          kIo: reading failed, or the file has shrunk since.
  Status ReadAt(uint64_t offset, std::span<uint8_t> out) const;

 private:
  static Result<std::unique_ptr<InputFile>> OpenPlain(const std::filesystem::path& path);
  InputFile(std::string path, int descriptor, uint64_t size_bytes)
      : path_(std::move(path)), descriptor_(descriptor), size_bytes_(size_bytes) {}

  std::string path_;
  int descriptor_;
  uint64_t size_bytes_;
};

/// XXH3-128 of the files' bytes, one after another.
/// Errors   those of ReadAt; kCancelled, also once `stop` is set, unless it is null.
Result<schema::Hash128> HashFiles(std::span<const InputFile* const> files,
                                  const std::atomic<bool>* stop = nullptr);

/// Whether there is something at `path`. False if that cannot be found out.
bool Exists(const std::filesystem::path& path);

}  // namespace graft::converter
