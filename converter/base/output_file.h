// SPDX-License-Identifier: Apache-2.0
// OutputFile: a file that appears under its name whole and synced, or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "converter/base/leftovers.h"
#include "schema/result.h"

namespace graft::converter {

/// Written under a temporary name in the same folder. Commit gives it its own name; without Commit
/// the destructor removes it.
class OutputFile {
 public:
  /// Creates a file of `size_bytes` zeros beside `path` and reserves its room on disk where the
  /// file system can. Removes what writers of `path` that died have left.
  /// Errors   kIo, kNotFound: the folder is missing or not writable, the disk has too little room
  ///          or the process a limit, or `path` is no regular file. The message names `path`.
  static Result<std::unique_ptr<OutputFile>> Create(const std::filesystem::path& path,
                                                    uint64_t size_bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Thread-safe for disjoint parts.
  /// Errors   kIo.
  Status WriteAt(uint64_t offset, std::span<const uint8_t> bytes);

  /// For a file whose size was not known when it was created.
  /// Requires that nothing is mapped.
  /// Errors   kIo.
  Status SetSize(uint64_t size_bytes);

  /// Asks the kernel to start writing what it holds of these bytes, so that Commit waits less. Only
  /// a hint.
  void StartWriteback(uint64_t offset, uint64_t size_bytes);

  /// The whole file, mapped read-only; later writes show. Lives as long as this object. Errors kIo.
  Result<std::span<const uint8_t>> Map();

  /// Syncs the file, renames it to its path, syncs the folder.
  /// Errors   kIo; nothing is left behind then.
  Status Commit();

 private:
  OutputFile(std::filesystem::path path, uint64_t size_bytes)
      : path_(std::move(path)), size_bytes_(size_bytes) {}
  Status Failure(const char* what, int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::optional<TemporaryMark> mark_;  // of temporary_
  uint64_t size_bytes_;
  int descriptor_ = -1;
  void* mapping_ = nullptr;
};

/// Asks the system to keep the names in `folder` through a power cut. Only a hint: not all file
/// systems can.
void SyncFolder(const std::filesystem::path& folder);

}  // namespace graft::converter
