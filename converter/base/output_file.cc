// SPDX-License-Identifier: Apache-2.0
#include "converter/base/output_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <string>
#include <system_error>

namespace graft::converter {
namespace {

// Enough names for every process that could be writing the same file at once.
constexpr int kMaxNames = 1000;

std::filesystem::path FolderOf(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

}  // namespace

Status OutputFile::Failure(const char* what, int error) const {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    return Error(StatusCode::kIo, "%s: %s: %s; the file needs %" PRIu64 " bytes", path_.c_str(),
                 what, std::generic_category().message(error).c_str(), size_bytes_);
  }
  return Error(error == ENOENT ? StatusCode::kNotFound : StatusCode::kIo, "%s: %s: %s",
               path_.c_str(), what, std::generic_category().message(error).c_str());
}

Result<std::unique_ptr<OutputFile>> OutputFile::Create(const std::filesystem::path& path,
                                                       uint64_t size_bytes) {
  std::unique_ptr<OutputFile> file(new OutputFile(path, size_bytes));
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return file->Failure("cannot write", EISDIR);
  // A device or a pipe would be replaced by the file.
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) {
    return Error(StatusCode::kIo, "%s: is not a regular file", path.c_str());
  }
  SweepLeftovers(path);
  for (int i = 0; i < kMaxNames && file->descriptor_ < 0; ++i) {
    const std::filesystem::path temporary = TemporaryFor(path, i);
    const int descriptor = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno != EEXIST) return file->Failure("cannot create the file", errno);
    if (descriptor < 0) continue;
    if (!HoldTemporary(descriptor)) {
      close(descriptor);
      continue;
    }
    file->descriptor_ = descriptor;
    file->temporary_ = temporary;
    file->mark_.emplace(temporary);
  }
  if (file->descriptor_ < 0) return file->Failure("cannot create the file", EEXIST);
  // Going beyond this limit would end a program that does not ask for an error instead.
  rlimit most{};
  if (getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY &&
      size_bytes > most.rlim_cur) {
    return file->Failure("cannot reserve room", EFBIG);
  }
#ifdef __linux__
  // Room that is reserved cannot run out halfway. A file system that cannot reserve finds out when
  // it is written.
  if (fallocate(file->descriptor_, 0, 0, static_cast<off_t>(size_bytes)) != 0 &&
      errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) {
    return file->Failure("cannot reserve room", errno);
  }
#endif
  if (ftruncate(file->descriptor_, static_cast<off_t>(size_bytes)) != 0) {
    return file->Failure("cannot set the size", errno);
  }
  return file;
}

OutputFile::~OutputFile() {
  if (mapping_ != nullptr) munmap(mapping_, size_bytes_);
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status OutputFile::WriteAt(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0) {
      if (errno == EINTR) continue;
      return Failure("cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
  return OkStatus();
}

Status OutputFile::SetSize(uint64_t size_bytes) {
  size_bytes_ = size_bytes;
  if (ftruncate(descriptor_, static_cast<off_t>(size_bytes)) == 0) return OkStatus();
  return Failure("cannot set the size", errno);
}

void OutputFile::StartWriteback(uint64_t offset, uint64_t size_bytes) {
#ifdef __linux__
  (void)sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(size_bytes),
                        SYNC_FILE_RANGE_WRITE);
#endif
}

Result<std::span<const uint8_t>> OutputFile::Map() {
  if (mapping_ == nullptr) {
    void* mapping = mmap(nullptr, size_bytes_, PROT_READ, MAP_SHARED, descriptor_, 0);
    if (mapping == MAP_FAILED) return Failure("cannot map what was written", errno);
    mapping_ = mapping;
  }
  return std::span(static_cast<const uint8_t*>(mapping_), size_bytes_);
}

Status OutputFile::Commit() {
  if (mapping_ != nullptr) {
    munmap(mapping_, size_bytes_);
    mapping_ = nullptr;
  }
  if (fsync(descriptor_) != 0) return Failure("cannot sync", errno);
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) return Failure("cannot close", errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return Failure("cannot rename to", errno);
  temporary_.clear();
  mark_.reset();
  SyncFolder(FolderOf(path_));  // the name itself must survive a power cut too
  return OkStatus();
}

void SyncFolder(const std::filesystem::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  (void)fsync(descriptor);
  close(descriptor);
}

}  // namespace graft::converter
